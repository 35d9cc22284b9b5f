#include "net/client_connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "net/head_encoder.h"
#include "net/socket_address.h"
#include "net/socket_options.h"
#include "net/tcp_info.h"

namespace staithe::net {
namespace {

constexpr std::uint32_t interim_answers_max = 32;

bool asks_for_close(const HeaderList& headers) {
  const auto connection = headers.find("connection");
  return connection && list_contains(*connection, "close");
}

// The Host of an endpoint (RFC 9110 section 7.2).
std::string host_of(const Endpoint& endpoint) {
  const bool is_v6 = endpoint.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", endpoint.host, is_v6 ? "]" : "", endpoint.port);
}

}  // namespace

ConnectionExchange::~ConnectionExchange() {
  if (connection_ != nullptr) connection_->close();
}

void ConnectionExchange::send_body(std::string_view bytes) {
  if (connection_ != nullptr) connection_->send_body(bytes);
}

void ConnectionExchange::finish_body() {
  if (connection_ != nullptr) connection_->finish_body();
}

bool ConnectionExchange::is_congested() const {
  return connection_ != nullptr && connection_->is_congested();
}

void ConnectionExchange::pause() {
  if (connection_ != nullptr) connection_->pause();
}

void ConnectionExchange::resume() {
  if (connection_ != nullptr) connection_->resume();
}

ClientConnection::ClientConnection(ClientConnectionOwner& owner, Endpoint endpoint)
    : owner_(owner),
      endpoint_(std::move(endpoint)),
      transport_(owner.loop(), *this),
      deadline_(owner.loop(), [this] { on_deadline(); }) {}

// --- The request ---------------------------------------------------------------------------------

void ClientConnection::connect() {
  using Kind = ClientFailure::Kind;
  const auto address = parse_socket_address(endpoint_.host, endpoint_.port);
  if (!address) {
    return fail_later(Kind::connect_refused, fmt::format("{} is no IP address", endpoint_.host));
  }
  UniqueFd fd(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return fail_later(Kind::connect_refused, std::strerror(errno));
  set_connection_options(fd.get());
  if (::connect(fd.get(), address->data(), address->size()) != 0 && errno != EINPROGRESS &&
      errno != EINTR) {
    return fail_later(Kind::connect_refused, std::strerror(errno));
  }
  transport_.open(std::move(fd), Transport::Phase::connecting);
}

void ClientConnection::begin(const ClientRequest& request, const ClientTimeouts& timeouts,
                             ClientHandler& handler, ConnectionExchange& exchange) {
  CHECK(state_ == State::connecting || state_ == State::idle);
  handler_ = &handler;
  exchange_ = &exchange;
  timeouts_ = timeouts;
  method_ = request.method == "HEAD" ? AnsweredMethod::head : AnsweredMethod::other;
  request_kind_ = request.body.kind;
  request_left_ = request.body.length;
  is_request_sent_ = request_kind_ == BodyFraming::Kind::none;
  is_close_asked_ = asks_for_close(request.headers);
  is_paused_ = has_answer_bytes_ = false;
  interim_count_ = 0;
  written_before_ = transport_.written_bytes();
  ++request_count_;

  if (state_ == State::idle) {
    state_ = State::head;
    await_answer();
  } else if (timeouts_.connect.count() > 0) {
    deadline_.set(owner_.loop().now() + timeouts_.connect);
  }
  if (!is_token(request.method) || !is_request_target(request.target)) {
    return fail_later(ClientFailure::Kind::protocol, "the request line would be malformed");
  }
  const std::string default_host = request.host.empty() ? host_of(endpoint_) : std::string();
  transport_.send_with([&](std::string& out) {
    append_request_head(out, request, request.host.empty() ? default_host : request.host,
                        is_close_asked_ ? ConnectionOption::close : ConnectionOption::unsaid);
  });
}

void ClientConnection::send_body(std::string_view bytes) {
  if (is_request_sent_) return;
  if (request_kind_ == BodyFraming::Kind::chunked) {
    return transport_.send_with([bytes](std::string& out) { append_chunk(out, bytes); });
  }
  bytes = bytes.substr(0, request_left_);
  request_left_ -= bytes.size();
  transport_.send(bytes);
}

void ClientConnection::finish_body() {
  if (is_request_sent_) return;
  if (request_kind_ == BodyFraming::Kind::length && request_left_ > 0) {
    return fail_later(ClientFailure::Kind::reset, "the request's body was not given in full");
  }
  is_request_sent_ = true;
  if (request_kind_ == BodyFraming::Kind::chunked) transport_.send_with(append_last_chunk);
  if (state_ == State::head) await_answer();
}

void ClientConnection::on_connected() {
  acknowledged_at_connect_ = acknowledged_bytes(transport_.fd()).value_or(0);
  state_ = State::head;
  await_answer();
  handler_->on_connected();
}

void ClientConnection::on_flushed() {
  // The time to the first byte counts from the last of the request on.
  if (state_ == State::head && !has_answer_bytes_) await_answer();
}

void ClientConnection::on_writable() {
  if (handler_ != nullptr) handler_->on_writable();
}

// --- The answer ----------------------------------------------------------------------------------

void ClientConnection::on_bytes(std::string_view bytes) {
  if (state_ == State::idle) return close();  // nobody asked
  if (!bytes.empty()) has_answer_bytes_ = true;
  unread_.take(bytes, [this](std::string_view& input) { advance(input); });
  // By now the handler may have ended this exchange and begun another one here.
  if (state_ == State::head || state_ == State::body) await_answer();
}

void ClientConnection::advance(std::string_view& input) {
  for (bool is_going_on = true; is_going_on;) {
    switch (state_) {
      case State::head:
        is_going_on = !is_paused_ && !input.empty() && advance_head(input);
        break;
      case State::body:
        is_going_on = !is_paused_ && advance_body(input);
        break;
      case State::connecting:
      case State::idle:
        is_going_on = false;
        break;
      case State::closed:
        input = {};
        is_going_on = false;
        break;
    }
  }
}

bool ClientConnection::advance_head(std::string_view& input) {
  switch (scanner_.scan(input, owner_.limits().head_bytes_max)) {
    case HeadScanner::Outcome::incomplete:
      return false;
    case HeadScanner::Outcome::refused:
      fail(ClientFailure::Kind::protocol, std::string(scanner_.refusal().reason));
      return true;
    case HeadScanner::Outcome::complete:
      break;
  }
  const std::string_view head = input.substr(0, scanner_.head_size());
  scanner_ = {};
  ParsedResponse& response = owner_.response_space();
  if (const auto refusal = parse_response_head(head, method_, response)) {
    fail(ClientFailure::Kind::protocol, std::string(refusal->reason));
    return true;
  }
  input.remove_prefix(head.size());
  if (response.head.status < 200) {
    if (response.head.status == 101 || ++interim_count_ > interim_answers_max) {
      fail(ClientFailure::Kind::protocol, "the interim answers were not asked for");
    }
    return true;
  }
  body_ = response.head.body;
  body_read_ = 0;
  decoder_ = {};
  is_persistent_ = may_keep_after(response);
  settle_ = body_.kind == BodyFraming::Kind::chunked ? owner_.limits().settle_after_chunked
                                                     : std::chrono::milliseconds{0};
  state_ = State::body;
  handler_->on_head(response.head);
  return true;
}

bool ClientConnection::advance_body(std::string_view& input) {
  switch (body_.kind) {
    case BodyFraming::Kind::none:
      break;
    case BodyFraming::Kind::length: {
      if (body_read_ == body_.length) break;
      const std::string_view bytes = input.substr(0, body_.length - body_read_);
      if (bytes.empty()) return false;
      input.remove_prefix(bytes.size());
      body_read_ += bytes.size();
      handler_->on_body(bytes);
      return true;
    }
    case BodyFraming::Kind::chunked: {
      std::string_view data;
      switch (decoder_.next(input, data)) {
        case ChunkedDecoder::Outcome::need_more:
          return false;
        case ChunkedDecoder::Outcome::data:
          body_read_ += data.size();
          handler_->on_body(data);
          return true;
        case ChunkedDecoder::Outcome::end:
          body_.kind = BodyFraming::Kind::none;
          return true;
        case ChunkedDecoder::Outcome::bad:
          fail(ClientFailure::Kind::protocol, "the chunked body is malformed");
          return true;
      }
      return false;
    }
    case BodyFraming::Kind::until_close: {
      const std::string_view bytes = std::exchange(input, {});
      if (bytes.empty()) return false;
      body_read_ += bytes.size();
      handler_->on_body(bytes);
      return true;
    }
  }
  const bool is_clean = input.empty();
  input = {};
  end_answer(is_clean);
  return false;
}

// Whether, and for how long, the peer lets the connection go on behind this answer. It may close it
// on its own clock while a request is on its way, hence the margins.
bool ClientConnection::may_keep_after(const ParsedResponse& response) {
  idle_max_ = owner_.limits().idle_max;
  if (response.keep_alive_timeout_s) {
    const std::chrono::milliseconds timeout = std::chrono::seconds(*response.keep_alive_timeout_s);
    const auto margin = std::min<std::chrono::milliseconds>(timeout / 2, std::chrono::seconds(1));
    idle_max_ = std::min<Duration>(idle_max_, timeout - margin);
  }
  const bool is_used_up =
      response.keep_alive_requests_max && request_count_ + 1 >= *response.keep_alive_requests_max;
  return response.is_persistent && !is_used_up && idle_max_ > Duration::zero();
}

void ClientConnection::end_answer(bool may_keep) {
  may_keep = may_keep && is_persistent_ && !is_close_asked_ && !has_hung_up_ && is_request_sent_ &&
             transport_.unsent_bytes() == 0;
  ClientHandler* handler = detach();
  if (may_keep) {
    state_ = State::idle;
    is_paused_ = false;
    transport_.set_interest(Transport::Interest::read);
    is_settling_ = settle_ > Duration::zero();
    deadline_.set(owner_.loop().now() + (is_settling_ ? settle_ : idle_max_));
    may_keep = is_settling_ || owner_.keep(*this);
  }
  if (!may_keep) close();
  handler->on_end();  // may begin the next request on this connection
}

void ClientConnection::on_read_end() {
  has_peer_ended_ = true;
  switch (state_) {
    case State::head:
      return fail(ClientFailure::Kind::reset, has_answer_bytes_
                                                  ? "the connection was closed within a head"
                                                  : "the connection was closed without an answer");
    case State::body:
      if (body_.kind == BodyFraming::Kind::until_close) return end_answer(false);
      return fail(ClientFailure::Kind::reset, describe_short_body());
    case State::connecting:
    case State::idle:
    case State::closed:
      return close();
  }
}

void ClientConnection::on_broken(int error) {
  switch (state_) {
    case State::connecting:
      return fail(error == ETIMEDOUT ? ClientFailure::Kind::connect_timeout
                                     : ClientFailure::Kind::connect_refused,
                  std::strerror(error));
    case State::head:
      return fail(ClientFailure::Kind::reset, std::strerror(error));
    case State::body:
      return fail(ClientFailure::Kind::reset,
                  fmt::format("{}: {}", std::strerror(error), describe_short_body()));
    case State::idle:
    case State::closed:
      return close();
  }
}

// Nobody reads because the handler has paused. What arrived before the hang-up can still be read,
// so that is told in its turn.
void ClientConnection::on_hang_up() {
  has_hung_up_ = true;
  transport_.suspend();
}

std::string ClientConnection::describe_short_body() const {
  if (body_.kind == BodyFraming::Kind::length) {
    return fmt::format("the answer's body was short: {} bytes declared, {} received", body_.length,
                       body_read_);
  }
  return fmt::format("the answer's body broke off after {} bytes", body_read_);
}

void ClientConnection::pause() {
  is_paused_ = true;
  if (state_ == State::head || state_ == State::body) await_answer();
}

void ClientConnection::resume() {
  if (!std::exchange(is_paused_, false)) return;
  if (state_ != State::head && state_ != State::body) return;
  const bool is_body_read =
      state_ == State::body &&
      (body_.kind == BodyFraming::Kind::none ||
       (body_.kind == BodyFraming::Kind::length && body_read_ == body_.length));
  if (!unread_.is_empty() || is_body_read) schedule_advance();
  await_answer();
}

void ClientConnection::schedule_advance() {
  if (later_timer_ != 0) return;
  later_timer_ = owner_.loop().run_after(Duration::zero(), [this] {
    later_timer_ = 0;
    on_bytes({});
  });
}

// Sets what is read and how long for, while an exchange is under way.
void ClientConnection::await_answer() {
  const bool is_reading = !is_paused_ && later_timer_ == 0;
  transport_.set_interest(is_reading ? Transport::Interest::read : Transport::Interest::none);
  const auto timeout = has_answer_bytes_ ? timeouts_.idle : timeouts_.first_byte;
  if (is_paused_ || timeout.count() == 0) return deadline_.clear();
  deadline_.set(owner_.loop().now() + timeout);
}

void ClientConnection::on_deadline() {
  switch (state_) {
    case State::connecting:
      return fail(ClientFailure::Kind::connect_timeout, "the connection was not made in time");
    case State::head:
    case State::body:
      if (has_answer_bytes_) {
        return fail(ClientFailure::Kind::idle_timeout, "the answer stood still for too long");
      }
      return fail(ClientFailure::Kind::first_byte_timeout, "no answer came in time");
    case State::idle:
      if (!std::exchange(is_settling_, false)) return close();
      deadline_.set(owner_.loop().now() + idle_max_);
      if (!owner_.keep(*this)) close();
      return;
    case State::closed:
      return close();
  }
}

// --- The end -------------------------------------------------------------------------------------

ClientHandler* ClientConnection::detach() {
  if (exchange_ != nullptr) exchange_->connection_ = nullptr;
  exchange_ = nullptr;
  return std::exchange(handler_, nullptr);
}

void ClientConnection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  detach();
  transport_.close();
  deadline_.clear();
  owner_.loop().cancel(std::exchange(later_timer_, 0));
  unread_.clear();
  owner_.on_closed(*this);
}

void ClientConnection::fail(ClientFailure::Kind kind, std::string message) {
  const ClientFailure failure{.kind = kind,
                              .is_request_delivered = is_request_delivered(),
                              .is_answer_started = state_ == State::body,
                              .message = std::move(message)};
  ClientHandler* handler = detach();
  close();
  if (handler != nullptr) handler->on_failure(failure);
}

void ClientConnection::fail_later(ClientFailure::Kind kind, std::string message) {
  owner_.loop().cancel(later_timer_);
  later_timer_ =
      owner_.loop().run_after(Duration::zero(), [this, kind, message = std::move(message)] {
        later_timer_ = 0;
        fail(kind, message);
      });
}

// A peer that closed a pooled connection before our request reached it sends its FIN before our
// first byte arrives, and answers that byte with a reset instead of an acknowledgement. Both are
// asked for: the reset alone may also come from a peer that read the request and had not yet
// acknowledged it (delayed acknowledgement, RFC 9293 section 3.8.6.3).
bool ClientConnection::is_request_delivered() const {
  if (state_ == State::connecting) return false;
  if (has_answer_bytes_) return true;
  if (transport_.written_bytes() == written_before_) return false;
  if (!has_peer_ended_) return true;
  const auto acknowledged = acknowledged_bytes(transport_.fd());
  return !acknowledged || *acknowledged > acknowledged_at_connect_ + written_before_;
}

}  // namespace staithe::net
