#include "net/http1_connection.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "net/head_encoder.h"

namespace staithe::net {
namespace {

// How much of a request is read for nothing so that its connection can be kept.
constexpr std::uint64_t skip_bytes_max = 64 * 1024;
// How long a connection that is over still reads for its client's sake.
constexpr std::chrono::milliseconds linger_timeout{5'000};

}  // namespace

Http1Connection::Http1Connection(ServerConnectionOwner& owner, std::unique_ptr<Transport> transport,
                                 std::string peer_address)
    : owner_(owner),
      transport_(std::move(transport)),
      exchange_(owner),
      deadline_(owner.loop(), [this] { on_deadline(); }),
      peer_address_(std::move(peer_address)) {
  transport_->set_handler(*this);
  settle();
}

void Http1Connection::drain() {
  // A request may have arrived that has not been read: closing now would reset it.
  if (is_idle()) transport_->read_now();
  if (is_idle()) start_flush();
}

void Http1Connection::close() {
  if (state_ == State::closed) return;
  state_ = State::closed;
  transport_->close();
  deadline_.clear();
  loop().cancel(std::exchange(advance_timer_, 0));
  unread_.clear();
  cancel_exchange();
  owner_.on_closed(*this);
}

// --- Reading -------------------------------------------------------------------------------------

void Http1Connection::on_bytes(std::string_view bytes) {
  unread_.take(bytes, [this](std::string_view& input) { advance(input); });
  if (state_ == State::closed) return;
  if (has_ended_exchange_ && !unread_.is_empty() && !transport_->is_congested()) schedule_advance();
  settle();
}

// Takes what this state can take off the front of `input`, for one exchange at most: the next one
// begins in a turn of its own, when the last one's handler is gone and others have had theirs.
void Http1Connection::advance(std::string_view& input) {
  has_ended_exchange_ = false;
  for (bool is_going_on = true; is_going_on;) {
    switch (state_) {
      case State::head:
        // Answers that the client does not read are a reason to read no more of its requests.
        is_going_on = !input.empty() && !has_ended_exchange_ && !transport_->is_congested() &&
                      advance_head(input);
        break;
      case State::body:
      case State::skip:
        is_going_on = advance_body(input);
        break;
      case State::answer:
        is_going_on = false;
        break;
      case State::flush:
      case State::linger:
      case State::closed:
        input = {};
        is_going_on = false;
        break;
    }
  }
}

bool Http1Connection::advance_head(std::string_view& input) {
  switch (scanner_.scan(input, owner_.limits().head_bytes_max)) {
    case HeadScanner::Outcome::incomplete:
      return false;
    case HeadScanner::Outcome::refused:
      refuse(scanner_.refusal());
      return true;
    case HeadScanner::Outcome::complete:
      break;
  }
  const std::string_view head = input.substr(0, scanner_.head_size());
  scanner_ = {};
  ParsedRequest& request = owner_.request_space();
  if (const auto refusal = parse_request_head(head, request)) {
    refuse(*refusal);
    return true;
  }
  input.remove_prefix(head.size());
  // A client that has begun to send its body does not wait for our leave.
  is_continue_awaited_ = request.expects_continue && input.empty() &&
                         request.head.body.kind != BodyFraming::Kind::none;
  open_exchange(request);
  return true;
}

void Http1Connection::open_exchange(const ParsedRequest& request) {
  state_ = State::body;
  request_kind_ = request.head.body.kind;
  request_left_ = request.head.body.length;
  decoder_ = {};
  body_pace_.begin(loop().now());
  http_minor_ = request.head.http_minor;
  is_head_method_ = request.head.method == "HEAD";
  is_close_asked_ = !request.is_persistent;
  is_kept_ = request.is_persistent;
  is_body_paused_ = is_answer_started_ = false;
  answer_kind_ = BodyFraming::Kind::none;
  exchange_.open();
  const bool is_answering = exchange_.adopt(owner_.router().on_request(request.head, *this));
  if (is_answering && !is_body_paused_) send_continue();
}

// Sends the leave to go on that a client waits for (RFC 9110 section 10.1.1).
void Http1Connection::send_continue() {
  if (!is_continue_awaited_ || is_answer_started_) return;
  is_continue_awaited_ = false;
  transport_->send("HTTP/1.1 100 Continue\r\n\r\n");
}

bool Http1Connection::advance_body(std::string_view& input) {
  if (state_ == State::body && is_body_paused_) return false;
  if (request_kind_ == BodyFraming::Kind::none) {
    end_request();
    return true;
  }
  if (request_kind_ == BodyFraming::Kind::length) {
    const std::string_view bytes = input.substr(0, request_left_);
    input.remove_prefix(bytes.size());
    request_left_ -= bytes.size();
    if (request_left_ == 0) request_kind_ = BodyFraming::Kind::none;
    take_body(bytes);
    return !bytes.empty() || request_left_ == 0;
  }
  std::string_view data;
  switch (decoder_.next(input, data)) {
    case ChunkedDecoder::Outcome::need_more:
      return false;
    case ChunkedDecoder::Outcome::data:
      take_body(data);
      return true;
    case ChunkedDecoder::Outcome::end:
      request_kind_ = BodyFraming::Kind::none;
      return true;
    case ChunkedDecoder::Outcome::bad:
      break;
  }
  break_off({400, "the chunked body is malformed"});
  return true;
}

void Http1Connection::take_body(std::string_view bytes) {
  body_pace_.take(bytes.size(), owner_.limits().pace_bytes_min, loop().now());
  if (state_ == State::body && !bytes.empty()) exchange_->on_body(bytes);
}

void Http1Connection::end_request() {
  if (state_ == State::skip) return go_on_or_close();
  state_ = State::answer;
  exchange_->on_request_end();
}

bool Http1Connection::is_request_read() const {
  return state_ == State::answer || request_kind_ == BodyFraming::Kind::none;
}

bool Http1Connection::may_skip_request_rest() const {
  if (is_request_read()) return true;
  return request_kind_ == BodyFraming::Kind::length && request_left_ <= skip_bytes_max &&
         !is_continue_awaited_;
}

// The request cannot be read to its end.
void Http1Connection::break_off(const Refusal& refusal) {
  const bool may_refuse = exchange_.is_open() && !is_answer_started_;
  cancel_exchange();
  if (state_ == State::closed) return;
  if (may_refuse) return refuse(refusal);
  start_linger();
}

void Http1Connection::refuse(const Refusal& refusal) {
  const std::string body = std::string(refusal.reason) + "\n";
  AnswerHead head{.status = refusal.status};
  head.headers.add("Content-Type", "text/plain; charset=utf-8");
  const AnswerFraming framing{.body = {BodyFraming::Kind::length, body.size()},
                              .connection = ConnectionOption::close,
                              .date = owner_.date()};
  transport_->send_with([&](std::string& out) {
    append_answer_head(out, head, framing);
    out += body;
  });
  start_linger();
}

void Http1Connection::on_read_end() {
  // An answer that is complete may still be on its way to a client that only closed its sending
  // side.
  const bool is_answered = state_ == State::head || state_ == State::skip;
  if (is_answered && transport_->unsent_bytes() > 0) return start_flush();
  close();
}

void Http1Connection::on_broken(int) {
  close();
}

void Http1Connection::on_hang_up() {
  close();
}

// --- Answering -----------------------------------------------------------------------------------

void Http1Connection::send_head(const AnswerHead& head) {
  if (!exchange_.is_open()) return;
  CHECK(!is_answer_started_);
  is_answer_started_ = true;
  if (owner_.is_draining() || !may_skip_request_rest()) is_kept_ = false;
  AnswerFraming framing{.body = frame_answer(head), .date = owner_.date()};
  if (!is_kept_) {
    framing.connection = ConnectionOption::close;
  } else if (http_minor_ == 0) {
    framing.connection = ConnectionOption::keep_alive;
  }
  transport_->send_with([&](std::string& out) { append_answer_head(out, head, framing); });
}

// How the answer's body is sent, and what its head says about that, which differs where there is no
// body (RFC 9110 sections 8.6 and 15.3.5).
BodyFraming Http1Connection::frame_answer(const AnswerHead& head) {
  using Kind = BodyFraming::Kind;
  answer_left_ = head.content_length.value_or(0);
  if (is_head_method_ || head.status == 204 || head.status == 304 || !head.has_body) {
    answer_kind_ = Kind::none;
    const bool has_length = (head.content_length || !head.has_body) && head.status != 204;
    return has_length ? BodyFraming{Kind::length, answer_left_} : BodyFraming{};
  }
  if (head.content_length) {
    answer_kind_ = Kind::length;
  } else if (http_minor_ > 0) {
    answer_kind_ = Kind::chunked;
  } else {
    answer_kind_ = Kind::until_close;
    is_kept_ = false;
  }
  return {answer_kind_, answer_left_};
}

void Http1Connection::send_body(std::string_view bytes) {
  if (!exchange_.is_open()) return;
  CHECK(is_answer_started_);
  switch (answer_kind_) {
    case BodyFraming::Kind::none:
      return;
    case BodyFraming::Kind::length:
      bytes = bytes.substr(0, answer_left_);
      answer_left_ -= bytes.size();
      return transport_->send(bytes);
    case BodyFraming::Kind::chunked:
      return transport_->send_with([bytes](std::string& out) { append_chunk(out, bytes); });
    case BodyFraming::Kind::until_close:
      return transport_->send(bytes);
  }
}

void Http1Connection::finish_with(const HeaderList& trailers) {
  if (!exchange_.is_open()) return;
  const bool is_short = answer_kind_ == BodyFraming::Kind::length && answer_left_ > 0;
  if (!is_answer_started_ || is_short) return abort();
  if (answer_kind_ == BodyFraming::Kind::chunked) {
    transport_->send_with([&](std::string& out) { append_chunked_end(out, trailers); });
  }
  end_exchange();
  if (is_request_read() || !is_kept_) {
    go_on_or_close();
  } else {
    state_ = State::skip;
    body_pace_.begin(loop().now());
    if (!unread_.is_empty()) schedule_advance();
  }
  settle();
}

void Http1Connection::abort() {
  if (!exchange_.is_open()) return;
  end_exchange();
  // Where only the close ends a body, only a reset tells that it is not whole.
  is_reset_due_ = is_answer_started_ && answer_kind_ == BodyFraming::Kind::until_close;
  is_reset_due_ ? start_flush() : start_linger();
  settle();
}

void Http1Connection::pause_body() {
  is_body_paused_ = true;
  settle();
}

void Http1Connection::resume_body() {
  if (!std::exchange(is_body_paused_, false) || state_ != State::body) return;
  body_pace_.begin(loop().now());
  send_continue();
  if (!unread_.is_empty() || request_kind_ == BodyFraming::Kind::none) schedule_advance();
  settle();
}

void Http1Connection::on_writable() {
  if (exchange_.is_open()) {
    exchange_->on_writable();
  } else if (state_ == State::head && !unread_.is_empty()) {
    schedule_advance();
  }
  settle();
}

void Http1Connection::on_flushed() {
  if (transport_->unsent_bytes() == 0) {
    if (state_ == State::flush) {
      if (is_reset_due_) transport_->reset();
      return close();
    }
    if (state_ == State::linger && !std::exchange(is_sending_shut_, true)) {
      transport_->shutdown_sending();
      read_due_ = loop().now() + linger_timeout;
    }
  }
  update_deadline();
}

// --- The end of an exchange ----------------------------------------------------------------------

void Http1Connection::end_exchange() {
  exchange_.end();
  has_ended_exchange_ = true;
}

void Http1Connection::cancel_exchange() {
  if (!exchange_.is_open()) return;
  has_ended_exchange_ = true;
  exchange_.cancel();
}

void Http1Connection::go_on_or_close() {
  if (!is_kept_ || owner_.is_draining()) {
    is_request_read() && is_close_asked_ ? start_flush() : start_linger();
    return;
  }
  state_ = State::head;
  is_head_begun_ = false;
  if (!unread_.is_empty() && !transport_->is_congested()) schedule_advance();
}

void Http1Connection::start_flush() {
  state_ = State::flush;
  unread_.clear();
  transport_->request_flush();
  settle();
}

void Http1Connection::start_linger() {
  state_ = State::linger;
  unread_.clear();
  read_due_ = Deadline::never;
  transport_->request_flush();
  settle();
}

// --- Interest and deadlines ----------------------------------------------------------------------

// What is unread waits for something other than more bytes.
bool Http1Connection::is_held() const {
  if (advance_timer_ != 0) return true;
  return state_ == State::head && !unread_.is_empty() && transport_->is_congested();
}

void Http1Connection::schedule_advance() {
  if (advance_timer_ != 0) return;
  advance_timer_ = loop().run_after(Duration::zero(), [this] {
    advance_timer_ = 0;
    on_bytes({});
  });
}

void Http1Connection::settle() {
  if (state_ == State::closed) return;
  update_interest();
  update_read_due();
  update_deadline();
}

void Http1Connection::update_interest() {
  using Interest = Transport::Interest;
  Interest interest = Interest::none;
  switch (state_) {
    case State::head:
    case State::skip:
      interest = is_held() ? Interest::none : Interest::read;
      break;
    case State::body:
      interest = is_body_paused_ || is_held() ? Interest::hang_up : Interest::read;
      break;
    case State::answer:
      interest = Interest::hang_up;
      break;
    case State::linger:
      interest = Interest::read;
      break;
    case State::flush:
    case State::closed:
      break;
  }
  transport_->set_interest(interest);
}

void Http1Connection::update_read_due() {
  const Instant now = loop().now();
  const ServerLimits& limits = owner_.limits();
  switch (state_) {
    case State::head:
      if (is_held()) {
        read_due_ = Deadline::never;
      } else if (unread_.is_empty()) {
        read_due_ = now + limits.keep_alive_timeout;
      } else if (!std::exchange(is_head_begun_, true)) {
        // From the first byte of the head on, however slowly the others drip in.
        read_due_ = now + limits.head_timeout;
      }
      return;
    case State::body:
      read_due_ = is_body_paused_ ? Deadline::never : body_pace_.begun_at() + limits.body_timeout;
      return;
    case State::skip:
      read_due_ = body_pace_.begun_at() + limits.body_timeout;
      return;
    case State::answer:
    case State::flush:
      read_due_ = Deadline::never;
      return;
    case State::linger:
    case State::closed:
      return;
  }
}

void Http1Connection::update_deadline() {
  Instant due = read_due_;
  if (transport_->is_blocked()) {
    due = std::min<Instant>(due, transport_->stalled_since() + owner_.limits().write_timeout);
  }
  deadline_.set(due);
}

void Http1Connection::on_deadline() {
  const Instant now = loop().now();
  if (transport_->is_blocked() &&
      transport_->stalled_since() + owner_.limits().write_timeout <= now) {
    transport_->reset();
    return close();
  }
  switch (state_) {
    case State::head:
      if (unread_.is_empty()) return close();
      refuse({408, "the request's head took too long"});
      break;
    case State::body:
      break_off({408, "the request's body took too long"});
      break;
    case State::skip:
      start_linger();
      break;
    case State::answer:
    case State::flush:
    case State::linger:
    case State::closed:
      return close();
  }
}

}  // namespace staithe::net
