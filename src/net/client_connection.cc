#include "net/client_connection.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "net/exchange.h"
#include "net/head_encoder.h"
#include "net/socket_address.h"
#include "net/tcp_counters.h"

namespace staithe::net {
namespace {

// A pooled connection is given up this long before the peer says it will close it.
constexpr std::chrono::milliseconds keep_alive_margin{1'000};

}  // namespace

ClientConnection::ClientConnection(ClientConnectionOwner& owner, Endpoint endpoint)
    : owner_(owner),
      endpoint_(std::move(endpoint)),
      deadline_(owner.loop(), [this] { on_deadline(); }) {}

ClientConnection::~ClientConnection() {
  owner_.loop().cancel_turn_work(flush_work_);
  if (fd_.is_open()) owner_.loop().unwatch(fd_.get());
}

void ClientConnection::connect() {
  int problem = EINVAL;
  if (const auto address = parse_socket_address(endpoint_.host, endpoint_.port)) {
    UniqueFd fd(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    problem = errno;
    if (fd.is_open()) {
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const int outcome = ::connect(fd.get(), address->data(), address->size());
      problem = outcome == 0 ? 0 : errno;
      if (problem == 0 || problem == EINPROGRESS) {
        fd_ = std::move(fd);
        interest_ = EPOLLOUT;
        owner_.loop().watch(fd_.get(), interest_, *this);
        return;
      }
    }
  }
  // Reported as an event would be: on a later turn, unless the exchange is gone by then.
  connect_problem_ = problem;
  problem_timer_ = owner_.loop().run_after(Duration::zero(), [this] {
    problem_timer_ = 0;
    fail(ClientFailure::Kind::connect_refused,
         fmt::format("cannot connect to {}:{}: {}", endpoint_.host, endpoint_.port,
                     std::strerror(connect_problem_)));
  });
}

void ClientConnection::start(const ClientRequest& request, const ClientTimeouts& timeouts,
                             ClientHandler& handler) {
  CHECK(handler_ == nullptr && (phase_ == Phase::connecting || phase_ == Phase::idle));
  is_reused_ = phase_ == Phase::idle;
  if (phase_ == Phase::idle) phase_ = Phase::busy;
  handler_ = &handler;
  timeouts_ = timeouts;
  scanner_ = {};
  decoder_ = {};
  answer_ = {};
  received_bytes_ = 0;
  is_head_request_ = request.method == "HEAD";
  is_request_chunked_ = request.body.kind == BodyFraming::Kind::chunked;
  is_request_whole_ = is_answer_started_ = is_head_read_ = is_paused_ = is_congested_ = false;
  is_persistent_ = true;
  acknowledged_before_ = is_reused_ ? acknowledged_bytes() : 0;
  if (requests_left_ != UINT32_MAX && requests_left_ > 0) --requests_left_;
  const std::string host =
      request.host.empty()
          ? fmt::format(endpoint_.host.find(':') == std::string::npos ? "{}:{}" : "[{}]:{}",
                        endpoint_.host, endpoint_.port)
          : std::string(request.host);
  append_request_head(out_, request, host, ConnectionOption::unsaid);
  schedule_flush();
  update_deadline();
}

void ClientConnection::send_body(std::string_view bytes) {
  if (phase_ == Phase::closed || handler_ == nullptr || bytes.empty()) return;
  if (is_request_chunked_) {
    append_chunk(out_, bytes);
  } else {
    out_ += bytes;
  }
  schedule_flush();
}

void ClientConnection::finish_body() {
  if (phase_ == Phase::closed || handler_ == nullptr || is_request_whole_) return;
  is_request_whole_ = true;
  if (is_request_chunked_) append_last_chunk(out_);
  schedule_flush();
}

void ClientConnection::pause() {
  is_paused_ = true;
  update_interest();
}

void ClientConnection::resume() {
  if (!is_paused_) return;
  is_paused_ = false;
  schedule_flush();  // goes on with what was read and held back
}

void ClientConnection::on_ready(std::uint32_t epoll_events) {
  if (phase_ == Phase::connecting) return on_connected();
  if (phase_ == Phase::idle) return close();  // an end, or bytes nobody asked for
  if ((epoll_events & EPOLLOUT) != 0) {
    is_write_blocked_ = false;
    flush();
    if (phase_ != Phase::busy) return;
  }
  if ((epoll_events & EPOLLIN) != 0 && !is_paused_) return read();
  if ((epoll_events & (EPOLLERR | EPOLLHUP)) != 0) {
    int problem = 0;
    socklen_t size = sizeof problem;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
    on_peer_closed(problem == 0 ? ECONNRESET : problem);
  }
}

void ClientConnection::on_connected() {
  int problem = 0;
  socklen_t size = sizeof problem;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
  if (problem != 0) {
    return fail(ClientFailure::Kind::connect_refused,
                fmt::format("cannot connect to {}:{}: {}", endpoint_.host, endpoint_.port,
                            std::strerror(problem)));
  }
  phase_ = Phase::busy;
  handler_->on_connected();
  if (phase_ != Phase::busy) return;
  flush();
  if (phase_ != Phase::busy) return;
  update_interest();
  update_deadline();
}

void ClientConnection::read() {
  const std::span<char> buffer = owner_.loop().read_buffer();
  const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return on_peer_closed(got < 0 ? errno : 0);
  is_answer_started_ = true;
  feed({buffer.data(), static_cast<std::size_t>(got)});
}

void ClientConnection::feed(std::string_view bytes) {
  is_reading_ = true;
  unread_.take(bytes, [this](std::string_view& input) { advance(input); });
  is_reading_ = false;
  if (phase_ == Phase::closed) return;
  if (handler_ == nullptr && phase_ == Phase::busy) return end_exchange();
  update_interest();
  update_deadline();
}

void ClientConnection::advance(std::string_view& input) {
  bool is_going_on = true;
  while (is_going_on && phase_ == Phase::busy && handler_ != nullptr && !is_paused_) {
    is_going_on = is_head_read_ ? advance_body(input) : !input.empty() && advance_head(input);
  }
  if (phase_ == Phase::closed) input = {};
}

bool ClientConnection::advance_head(std::string_view& input) {
  switch (scanner_.scan(input, owner_.limits().head_bytes_max)) {
    case HeadScanner::Outcome::incomplete:
      return false;
    case HeadScanner::Outcome::refused:
      fail(ClientFailure::Kind::protocol, std::string(scanner_.refusal().reason));
      return false;
    case HeadScanner::Outcome::complete:
      break;
  }
  const std::string_view head = input.substr(0, scanner_.head_size());
  scanner_ = {};
  ParsedResponse response;
  const auto method = is_head_request_ ? AnsweredMethod::head : AnsweredMethod::other;
  if (const auto refusal = parse_response_head(head, method, response)) {
    fail(ClientFailure::Kind::protocol, std::string(refusal->reason));
    return false;
  }
  input.remove_prefix(head.size());
  if (response.head.status == 101) {
    fail(ClientFailure::Kind::protocol, "the peer switched protocols, which nobody asked for");
    return false;
  }
  if (response.head.status < 200) return true;
  is_head_read_ = true;
  is_persistent_ = response.is_persistent;
  answer_ = response.head.body;
  idle_max_ = owner_.limits().idle_max;
  if (response.keep_alive_timeout_s) {
    const std::chrono::milliseconds said{std::chrono::seconds{*response.keep_alive_timeout_s}};
    idle_max_ =
        std::min(idle_max_, std::max(said - keep_alive_margin, std::chrono::milliseconds{0}));
    if (idle_max_.count() == 0) is_persistent_ = false;
  }
  if (response.keep_alive_requests_max) {
    // "max" is how many more it takes (or took from the start, as some count it): the smaller
    // reading is safe.
    requests_left_ = std::min(requests_left_, *response.keep_alive_requests_max);
  }
  handler_->on_head(response.head);
  return true;
}

bool ClientConnection::advance_body(std::string_view& input) {
  switch (answer_.kind) {
    case BodyFraming::Kind::none:
      end_answer();
      return false;
    case BodyFraming::Kind::until_close: {
      const std::string_view piece = std::exchange(input, {});
      received_bytes_ += piece.size();
      if (!piece.empty()) handler_->on_body(piece);
      return false;
    }
    case BodyFraming::Kind::length: {
      const std::string_view piece = input.substr(0, answer_.length - received_bytes_);
      input.remove_prefix(piece.size());
      received_bytes_ += piece.size();
      const bool is_end = received_bytes_ == answer_.length;
      if (!piece.empty()) handler_->on_body(piece);
      if (is_end && phase_ == Phase::busy && handler_ != nullptr) {
        answer_.kind = BodyFraming::Kind::none;
        return true;
      }
      return false;
    }
    case BodyFraming::Kind::chunked:
      break;
  }
  std::string_view data;
  switch (decoder_.next(input, data)) {
    case ChunkedDecoder::Outcome::need_more:
      return false;
    case ChunkedDecoder::Outcome::data:
      received_bytes_ += data.size();
      handler_->on_body(data);
      return true;
    case ChunkedDecoder::Outcome::end:
      answer_.kind = BodyFraming::Kind::none;
      return true;
    case ChunkedDecoder::Outcome::bad:
      fail(ClientFailure::Kind::protocol, "the chunked body is malformed");
      return false;
  }
  return false;
}

void ClientConnection::end_answer() {
  ClientHandler* handler = std::exchange(handler_, nullptr);
  // An answer that came before the whole request was sent leaves a connection that cannot be used
  // again.
  if (!is_request_whole_ || !out_.empty()) is_persistent_ = false;
  handler->on_end();
}

void ClientConnection::end_exchange() {
  if (!is_persistent_ || requests_left_ == 0 || !unread_.is_empty()) return close();
  phase_ = Phase::idle;
  is_paused_ = false;
  update_interest();
  deadline_.set(owner_.loop().now() + idle_max_);
  owner_.on_idle(*this);
}

void ClientConnection::on_peer_closed(int problem) {
  if (problem == 0 && is_head_read_ && answer_.kind == BodyFraming::Kind::until_close) {
    is_persistent_ = false;
    end_answer();
    if (phase_ != Phase::closed) close();
    return;
  }
  std::string message =
      problem == 0 ? "the peer closed the connection" : std::string(std::strerror(problem));
  if (is_head_read_ && answer_.kind == BodyFraming::Kind::length) {
    message = fmt::format("the body was short: {} bytes declared, {} received ({})", answer_.length,
                          received_bytes_, message);
  } else if (is_head_read_) {
    message = fmt::format("{} within a body, after {} bytes of it", message, received_bytes_);
  } else {
    message += " before it answered";
  }
  fail(ClientFailure::Kind::reset, std::move(message));
}

// Linux counts what the peer's kernel acknowledged (tcp_info, RFC 4898
// tcpEStatsAppHCThruOctetsAcked). A server that closed its side before our request came answers it
// with a reset and acknowledges nothing of it.
std::uint64_t ClientConnection::acknowledged_bytes() const {
  return tcp_acknowledged_bytes(fd_.get());
}

bool ClientConnection::is_any_byte_delivered() const {
  if (phase_ == Phase::connecting) return false;
  if (is_answer_started_ || !is_reused_) return true;
  return acknowledged_bytes() > acknowledged_before_;
}

void ClientConnection::fail(ClientFailure::Kind kind, std::string message) {
  ClientFailure failure{.kind = kind,
                        .is_request_delivered = is_any_byte_delivered(),
                        .is_answer_started = is_answer_started_,
                        .message = std::move(message)};
  ClientHandler* handler = std::exchange(handler_, nullptr);
  close();
  if (handler != nullptr) handler->on_failure(failure);
}

void ClientConnection::schedule_flush() {
  if (unsent_bytes() > Exchange::high_water_bytes) is_congested_ = true;
  if (flush_work_ != 0 || phase_ == Phase::closed) return;
  flush_work_ = owner_.loop().at_end_of_turn([this] {
    flush_work_ = 0;
    if (phase_ != Phase::busy) return;
    flush();
    if (phase_ != Phase::busy) return;
    update_interest();
    if (!is_paused_ && !unread_.is_empty()) feed({});
  });
}

void ClientConnection::flush() {
  while (unsent_bytes() > 0 && !is_write_blocked_) {
    const ssize_t sent =
        ::send(fd_.get(), out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      is_write_blocked_ = true;
      break;
    }
    if (sent < 0) {
      const int problem = errno;
      // The peer may have answered before it stopped reading: what it said counts more than that it
      // closed.
      if (problem == EPIPE || problem == ECONNRESET) {
        out_ = {};
        out_sent_ = 0;
        is_persistent_ = false;
        is_request_whole_ = false;
        break;
      }
      return on_peer_closed(problem);
    }
    out_sent_ += static_cast<std::size_t>(sent);
  }
  if (unsent_bytes() == 0) {
    if (!out_.empty()) out_ = {};
    out_sent_ = 0;
  } else if (out_sent_ > Exchange::high_water_bytes) {
    out_.erase(0, out_sent_);
    out_sent_ = 0;
  }
  update_interest();
  update_deadline();
  if (is_congested_ && unsent_bytes() < Exchange::low_water_bytes) {
    is_congested_ = false;
    if (handler_ != nullptr) handler_->on_writable();
  }
}

void ClientConnection::update_interest() {
  if (phase_ == Phase::closed || phase_ == Phase::connecting || is_reading_) return;
  std::uint32_t wanted = is_paused_ ? 0u : static_cast<std::uint32_t>(EPOLLIN);
  if (is_write_blocked_) wanted |= EPOLLOUT;
  if (wanted == interest_) return;
  interest_ = wanted;
  owner_.loop().rewatch(fd_.get(), interest_, *this);
}

void ClientConnection::update_deadline() {
  if (phase_ == Phase::closed || phase_ == Phase::idle) return;
  std::chrono::milliseconds limit = timeouts_.connect;
  if (phase_ == Phase::busy) limit = is_answer_started_ ? timeouts_.idle : timeouts_.first_byte;
  // A paused answer is held back by its reader, not by the peer.
  if (limit.count() == 0 || (phase_ == Phase::busy && is_paused_)) return deadline_.clear();
  deadline_.set(owner_.loop().now() + limit);
}

void ClientConnection::on_deadline() {
  if (phase_ == Phase::idle) return close();
  using Kind = ClientFailure::Kind;
  if (phase_ == Phase::connecting) return fail(Kind::connect_timeout, "connecting took too long");
  if (!is_answer_started_) return fail(Kind::first_byte_timeout, "no answer within the time limit");
  fail(Kind::idle_timeout, "the answer stopped for longer than the time limit");
}

void ClientConnection::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  handler_ = nullptr;
  owner_.loop().cancel_turn_work(flush_work_);
  owner_.loop().cancel(problem_timer_);
  flush_work_ = 0;
  deadline_.clear();
  if (fd_.is_open()) {
    owner_.loop().unwatch(fd_.get());
    fd_.reset();
  }
  owner_.on_closed(*this);
}

}  // namespace staithe::net
