#include "net/http2_connection.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/encoding.h"
#include "base/free_memory.h"
#include "net/outgoing_bytes.h"

namespace staithe::net {
namespace {

// What a stream may have on its way to a handler that does not take it.
constexpr std::uint32_t stream_window_bytes = 128 * 1024;
constexpr std::int32_t connection_window_bytes = 1024 * 1024;
constexpr std::chrono::milliseconds sweep_period{1'000};
// How long a connection that has failed still reads for its client's sake.
constexpr std::chrono::milliseconds linger_timeout{5'000};
constexpr std::size_t linger_bytes_max = 256 * 1024;
// How much a connection may hold for a client that does not read before new requests are refused.
// Streams whose handlers heed their congestion stay below it, short of 100 that stall at once.
constexpr std::size_t backlog_bytes_max = 8 * 1024 * 1024;
// Control frames that a request, and each so many bytes sent, entitle a client to.
constexpr double frames_per_request = 4;
constexpr double bytes_per_frame = 1024;

nghttp2_nv header(std::string_view name, std::string_view value) {
  // nghttp2 copies both, and its type was made before const was.
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(),
          value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Fields that mean something to a connection of HTTP/1.1 alone (RFC 9113 section 8.2.2), and those
// that the connection writes itself.
bool is_left_out(std::string_view lower_name) {
  return is_hop_by_hop(lower_name) || lower_name == "content-length" || lower_name == "date";
}

}  // namespace

// One request and its answer. Lives until nghttp2 closes the stream.
class Http2Connection::Stream final : public Exchange {
 public:
  enum class End : std::uint8_t { open, finished, aborted };
  using OwnedField = std::pair<std::string, std::string>;

  Stream(Http2Connection& connection, std::int32_t id)
      : connection_(connection), id_(id), exchange_(connection.owner_) {
    exchange_.open();
  }
  ~Stream() override { connection_.loop().cancel(resume_timer_); }
  // Nothing is sent any more.
  void forget_unsent() {
    connection_.unsent_bytes_ -= unsent_.size();
    unsent_.clear();
  }

  void send_head(const AnswerHead& head) override;
  void send_body(std::string_view bytes) override;
  void finish_with(const HeaderList& trailers) override;
  void abort() override;
  bool is_congested() const override { return is_congested_; }
  std::size_t unsent_bytes() const override { return unsent_.size(); }
  void pause_body() override { is_paused_ = true; }
  void resume_body() override;
  std::string_view peer_address() const override { return connection_.peer_address_; }
  bool is_secure() const override { return connection_.transport_->is_secure(); }
  EventLoop& loop() override { return connection_.loop(); }

  void take_body(std::string_view bytes);
  void take_request_end();

  void send_continue();
  void consume(std::size_t size);
  void deliver_kept();
  void submit_trailers();
  void end_exchange();
  void resume_data();
  bool is_open() const { return exchange_.is_open() && !connection_.is_closed_; }
  bool is_body_due() const { return exchange_.is_open() && !is_request_whole_ && !is_paused_; }

  Http2Connection& connection_;
  const std::int32_t id_;
  ExchangeSlot exchange_;
  OutgoingBytes unsent_;
  std::vector<OwnedField> trailers_;
  std::string kept_body_;          // of a paused request
  std::uint64_t answer_left_ = 0;  // of an answer with a length
  PaceWatch body_pace_;
  PaceWatch answer_pace_;
  TimerId resume_timer_ = 0;
  End end_ = End::open;
  bool is_head_method_ = false;
  bool is_continue_awaited_ = false;
  bool is_request_whole_ = false;
  bool is_request_end_due_ = false;  // once the kept body is delivered
  bool is_paused_ = false;
  bool is_answer_started_ = false;
  bool has_length_ = false;
  bool is_bodiless_ = false;  // the head was all of the answer
  bool is_deferred_ = false;  // nghttp2 waits for more to send
  bool is_congested_ = false;
};

// nghttp2's C interface.
struct Http2Callbacks {
  static Http2Connection& self(void* user) { return *static_cast<Http2Connection*>(user); }

  static int on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd* head, void* user) {
    if (head->type == NGHTTP2_HEADERS && !self(user).skipped_streams_.take_headers(head->stream_id))
      nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
    return 0;
  }
  static int on_begin_headers(nghttp2_session*, const nghttp2_frame*, void* user) {
    Http2Connection& connection = self(user);
    connection.head_ = {};
    connection.head_.is_begun = true;
    connection.head_begun_at_ = connection.loop().now();
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* user) {
    return self(user).take_header(text(name, name_size), text(value, value_size));
  }
  static int on_frame_recv(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    self(user).take_frame(*frame);
    return 0;
  }
  // Of a head, too: it is over, and nghttp2 has reset its stream.
  static int on_invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    self(user).on_invalid_frame();
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t stream_id,
                     const std::uint8_t* data, std::size_t size, void* user) {
    self(user).take_data(stream_id, text(data, size));
    return 0;
  }
  static int on_stream_close(nghttp2_session*, std::int32_t stream_id, std::uint32_t, void* user) {
    self(user).take_stream_close(stream_id);
    return 0;
  }
  static int on_frame_send(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_RST_STREAM) self(user).on_own_reset(frame->rst_stream.error_code);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
      self(user).is_failing_ = true;
    const bool is_answer = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (is_answer && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      self(user).on_answer_sent(frame->hd.stream_id);
    return 0;
  }
  static ssize_t read_data(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t size,
                           std::uint32_t* flags, nghttp2_data_source* source, void* user) {
    return self(user).offer_data(*static_cast<Http2Connection::Stream*>(source->ptr), size, *flags);
  }
  static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* frame_head,
                       std::size_t size, nghttp2_data_source* source, void* user) {
    return self(user).send_data(*static_cast<Http2Connection::Stream*>(source->ptr), frame_head,
                                size);
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    return callbacks;
  }
};

// --- A stream as an exchange ---------------------------------------------------------------------

void Http2Connection::Stream::send_head(const AnswerHead& head) {
  if (!is_open()) return;
  CHECK(!is_answer_started_);
  is_answer_started_ = true;
  is_bodiless_ = is_head_method_ || head.status == 204 || head.status == 304 || !head.has_body;
  has_length_ = head.content_length.has_value();
  answer_left_ = head.content_length.value_or(0);

  char status[4];
  const auto status_end = std::to_chars(status, status + sizeof status, head.status).ptr;
  char length[24];
  const auto length_end = std::to_chars(length, length + sizeof length, answer_left_).ptr;
  std::vector<std::string> names;  // HTTP/2 has them in lower case
  names.reserve(head.headers.size());
  std::vector<nghttp2_nv> fields{
      header(":status", {status, static_cast<std::size_t>(status_end - status)}),
      header("date", connection_.owner_.date())};
  for (const HeaderView& field : head.headers) {
    names.push_back(to_lower(field.name));
    if (!is_left_out(names.back())) fields.push_back(header(names.back(), field.value));
  }
  if (has_length_ && head.status != 204) {
    fields.push_back(
        header("content-length", {length, static_cast<std::size_t>(length_end - length)}));
  }
  nghttp2_data_provider body{};
  body.source.ptr = this;
  body.read_callback = Http2Callbacks::read_data;
  const int problem = nghttp2_submit_response(connection_.session_, id_, fields.data(),
                                              fields.size(), is_bodiless_ ? nullptr : &body);
  CHECK(problem == 0 || problem == NGHTTP2_ERR_DATA_EXIST);
  connection_.schedule_pump();
}

void Http2Connection::Stream::send_body(std::string_view bytes) {
  if (!is_open()) return;
  CHECK(is_answer_started_);
  if (is_bodiless_) return;
  if (has_length_) {
    bytes = bytes.substr(0, answer_left_);
    answer_left_ -= bytes.size();
  }
  if (bytes.empty()) return;
  if (unsent_.is_empty()) answer_pace_.begin(loop().now());
  unsent_.back(loop()) += bytes;
  connection_.unsent_bytes_ += bytes.size();
  if (unsent_bytes() > high_water_bytes) is_congested_ = true;
  resume_data();
}

void Http2Connection::Stream::resume_data() {
  if (std::exchange(is_deferred_, false)) nghttp2_session_resume_data(connection_.session_, id_);
  connection_.schedule_pump();
}

void Http2Connection::Stream::finish_with(const HeaderList& trailers) {
  if (!is_open()) return;
  const bool is_short = has_length_ && answer_left_ > 0 && !is_bodiless_;
  if (!is_answer_started_ || is_short) return abort();
  for (const HeaderView& field : trailers) {
    OwnedField& kept = trailers_.emplace_back(to_lower(field.name), field.value);
    if (is_left_out(kept.first)) trailers_.pop_back();
  }
  end_ = End::finished;
  end_exchange();
  resume_data();
}

void Http2Connection::Stream::abort() {
  if (!is_open()) return;
  end_ = End::aborted;
  end_exchange();
  if (is_answer_started_ && !is_bodiless_) return resume_data();  // what was given goes first
  nghttp2_submit_rst_stream(connection_.session_, NGHTTP2_FLAG_NONE, id_, NGHTTP2_INTERNAL_ERROR);
  connection_.schedule_pump();
}

void Http2Connection::Stream::resume_body() {
  if (!std::exchange(is_paused_, false) || !is_open()) return;
  body_pace_.begin(loop().now());
  send_continue();
  if (resume_timer_ != 0 || (kept_body_.empty() && !is_request_end_due_)) return;
  resume_timer_ = loop().run_after(Duration::zero(), [this] {
    resume_timer_ = 0;
    deliver_kept();
  });
}

// Sends the leave to go on that a client waits for (RFC 9110 section 10.1.1).
void Http2Connection::Stream::send_continue() {
  if (!std::exchange(is_continue_awaited_, false) || is_answer_started_) return;
  const nghttp2_nv status = header(":status", "100");
  nghttp2_submit_headers(connection_.session_, NGHTTP2_FLAG_NONE, id_, nullptr, &status, 1,
                         nullptr);
  connection_.schedule_pump();
}

void Http2Connection::Stream::take_body(std::string_view bytes) {
  body_pace_.take(bytes.size(), connection_.owner_.limits().pace_bytes_min, loop().now());
  if (!exchange_.is_open()) return consume(bytes.size());
  if (is_paused_ || !kept_body_.empty()) {
    kept_body_ += bytes;
    return;
  }
  consume(bytes.size());
  exchange_->on_body(bytes);
}

void Http2Connection::Stream::submit_trailers() {
  std::vector<nghttp2_nv> fields;
  fields.reserve(trailers_.size());
  for (const auto& [name, value] : trailers_) fields.push_back(header(name, value));
  nghttp2_submit_trailer(connection_.session_, id_, fields.data(), fields.size());
}

// Gives the client credit for what was taken.
void Http2Connection::Stream::consume(std::size_t size) {
  nghttp2_session_consume_stream(connection_.session_, id_, size);
  connection_.schedule_pump();
}

void Http2Connection::Stream::deliver_kept() {
  if (!is_open() || is_paused_) return;
  if (!kept_body_.empty()) {
    const std::string bytes = std::exchange(kept_body_, {});
    consume(bytes.size());
    exchange_->on_body(bytes);
  }
  if (!is_request_end_due_ || !is_open() || is_paused_ || !kept_body_.empty()) return;
  is_request_end_due_ = false;
  exchange_->on_request_end();
}

void Http2Connection::Stream::take_request_end() {
  is_request_whole_ = true;
  if (!exchange_.is_open()) return;
  if (is_paused_ || !kept_body_.empty()) {
    is_request_end_due_ = true;
    return;
  }
  exchange_->on_request_end();
}

void Http2Connection::Stream::end_exchange() {
  free_memory(kept_body_);
  exchange_.end();
}

// --- The connection ------------------------------------------------------------------------------

Http2Connection::Http2Connection(ServerConnectionOwner& owner, std::unique_ptr<Transport> transport,
                                 std::string peer_address)
    : owner_(owner),
      transport_(std::move(transport)),
      deadline_(owner.loop(), [this] { sweep(); }),
      peer_address_(std::move(peer_address)),
      idle_since_(owner.loop().now()) {
  transport_->set_handler(*this);
  static nghttp2_session_callbacks* const callbacks = Http2Callbacks::make();
  nghttp2_option* options = nullptr;
  CHECK(nghttp2_option_new(&options) == 0);
  nghttp2_option_set_no_auto_window_update(options, 1);
  nghttp2_option_set_max_reserved_remote_streams(options, 0);
  CHECK(nghttp2_session_server_new2(&session_, callbacks, this, options) == 0);
  nghttp2_option_del(options);

  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, owner_.limits().streams_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<std::uint32_t>(owner_.limits().head_bytes_max)},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0}};
  CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0);
  CHECK(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              connection_window_bytes) == 0);
  schedule_pump();
}

Http2Connection::~Http2Connection() {
  streams_.clear();
  nghttp2_session_del(session_);
}

void Http2Connection::drain() {
  if (is_closed_ || std::exchange(is_draining_, true)) return;
  // A request may have arrived that has not been read: it is still answered.
  transport_->read_now();
  if (is_closed_) return;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  schedule_pump();
}

void Http2Connection::close() {
  if (std::exchange(is_closed_, true)) return;
  transport_->close();
  deadline_.clear();
  loop().cancel_turn_work(std::exchange(pump_work_, 0));
  for (auto& [id, stream] : streams_) stream->exchange_.cancel();
  owner_.on_closed(*this);
}

void Http2Connection::on_bytes(std::string_view bytes) {
  if (is_lingering_) {
    linger_bytes_ += bytes.size();
    return linger_bytes_ > linger_bytes_max ? close() : void();
  }
  const ssize_t taken = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (is_closed_) return;
  // Whatever can be said about the protocol is said with a GOAWAY; this is beyond that.
  if (taken < 0) return close();
  schedule_pump();
}

int Http2Connection::take_header(std::string_view name, std::string_view value) {
  constexpr std::size_t pseudo_fields_max = 4;
  if (head_.bytes.size() + name.size() + value.size() > owner_.limits().head_bytes_max ||
      head_.fields.size() == field_count_max + pseudo_fields_max) {
    head_.is_too_large = true;
  }
  if (head_.is_too_large) return 0;
  head_.fields.push_back({head_.bytes.size(), name.size(), value.size()});
  head_.bytes.append(name).append(value);
  return 0;
}

void Http2Connection::take_frame(const nghttp2_frame& frame) {
  if (is_closed_) return;
  if (is_flood(frame)) return calm_down();
  if (frame.hd.type == NGHTTP2_GOAWAY) is_client_leaving_ = true;
  const bool is_end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame.hd.type == NGHTTP2_HEADERS) {
    head_.is_begun = false;
    if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
      open_exchange(frame.hd.stream_id, is_end);
      head_ = {};
      return;
    }
    head_ = {};  // trailers, which nobody asked for
  }
  if (!is_end || (frame.hd.type != NGHTTP2_DATA && frame.hd.type != NGHTTP2_HEADERS)) return;
  if (Stream* stream = find(frame.hd.stream_id)) stream->take_request_end();
}

// Frames that cost us more than their sender.
bool Http2Connection::is_flood(const nghttp2_frame& frame) {
  const Instant now = loop().now();
  switch (frame.hd.type) {
    case NGHTTP2_RST_STREAM:
      return !resets_.take(now) || !control_frames_.take(now);
    case NGHTTP2_DATA:
      return frame.hd.length == 0 && (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 &&
             !control_frames_.take(now);
    case NGHTTP2_HEADERS:
      return false;
    default:
      return !control_frames_.take(now);
  }
}

void Http2Connection::calm_down() {
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
}

// A client that provokes a reset, by a frame that breaks the rules of its stream, makes us work for
// nothing just as one that sends it (CVE-2025-8671). It is counted as the frame is read, before a
// buffer full of them is, and again as the reset is sent, because nghttp2 tells not all of them.
void Http2Connection::on_invalid_frame() {
  head_ = {};
  if (!resets_.take(loop().now())) calm_down();
}

void Http2Connection::on_own_reset(std::uint32_t error_code) {
  const bool is_ours = error_code == NGHTTP2_NO_ERROR || error_code == NGHTTP2_INTERNAL_ERROR ||
                       error_code == NGHTTP2_CANCEL;
  if (!is_ours && !resets_.take(loop().now())) calm_down();
}

Http2Connection::Stream& Http2Connection::open_stream(std::int32_t stream_id) {
  return *streams_.emplace(stream_id, std::make_unique<Stream>(*this, stream_id)).first->second;
}

Http2Connection::Stream* Http2Connection::find(std::int32_t stream_id) {
  const auto found = streams_.find(stream_id);
  return found == streams_.end() ? nullptr : found->second.get();
}

void Http2Connection::open_exchange(std::int32_t stream_id, bool is_request_whole) {
  control_frames_.give(frames_per_request);
  if (unsent_bytes_ > backlog_bytes_max) {
    // It can be tried again, since nobody has seen it.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_REFUSED_STREAM);
    return;
  }
  if (head_.is_too_large) return refuse(stream_id, 431, "the request's head is too large");
  RequestHead head;
  head.http_major = 2;
  head.http_minor = 0;
  std::string cookies;
  std::string_view authority;
  bool expects_continue = false;
  const std::string_view bytes = head_.bytes;
  for (const HeadSpace::Field& field : head_.fields) {
    const std::string_view name = bytes.substr(field.begin, field.name_size);
    const std::string_view value = bytes.substr(field.begin + field.name_size, field.value_size);
    if (name == ":method") {
      head.method = value;
    } else if (name == ":path") {
      head.target = value;
    } else if (name == ":authority") {
      authority = value;
    } else if (name.starts_with(':')) {
      continue;
    } else if (name == "cookie") {
      // They may come in pieces, which only HTTP/2 allows (RFC 9113 section 8.2.3).
      cookies.append(cookies.empty() ? "" : "; ").append(value);
    } else {
      if (name == "expect") expects_continue = to_lower(value) == "100-continue";
      head.headers.add(name, value);
    }
  }
  if (!cookies.empty()) head.headers.add("cookie", std::string_view(cookies));
  const auto host = head.headers.find("host");
  if (host && !authority.empty() && to_lower(*host) != to_lower(authority)) {
    // Whoever decides by one of them must not be told another (RFC 9113 section 8.3.1).
    return refuse(stream_id, 400, "the fields host and :authority differ");
  }
  if (!is_host(host.value_or(authority))) {
    return refuse(stream_id, 400, "the authority is malformed");
  }
  if (!host && !authority.empty()) head.headers.add("host", authority);
  if (head.method == "CONNECT") return refuse(stream_id, 501, "CONNECT is not served");
  // A scheme of the client's own could let any text pass for a path.
  const bool is_path =
      head.target.starts_with('/') || (head.target == "*" && head.method == "OPTIONS");
  if (!is_token(head.method) || !is_request_target(head.target) || !is_path) {
    return refuse(stream_id, 400, "the request line is malformed");
  }
  if (const auto length = head.headers.find("content-length")) {
    // nghttp2 has checked it, and holds the body to it.
    head.body.kind = BodyFraming::Kind::length;
    std::from_chars(length->data(), length->data() + length->size(), head.body.length);
  } else if (!is_request_whole) {
    head.body.kind = BodyFraming::Kind::chunked;
  }

  Stream& stream = open_stream(stream_id);
  stream.is_head_method_ = head.method == "HEAD";
  stream.is_continue_awaited_ = expects_continue && !is_request_whole;
  stream.body_pace_.begin(loop().now());
  const bool is_answering = stream.exchange_.adopt(owner_.router().on_request(head, stream));
  if (is_answering && !stream.is_paused_) stream.send_continue();
  if (is_request_whole && !is_closed_) stream.take_request_end();
}

void Http2Connection::refuse(std::int32_t stream_id, std::uint16_t status,
                             std::string_view reason) {
  Stream& stream = open_stream(stream_id);
  const std::string body = std::string(reason) + "\n";
  AnswerHead head{.status = status, .content_length = body.size()};
  head.headers.add("Content-Type", "text/plain; charset=utf-8");
  stream.send_head(head);
  stream.send_body(body);
  stream.finish();
}

void Http2Connection::take_data(std::int32_t stream_id, std::string_view bytes) {
  nghttp2_session_consume_connection(session_, bytes.size());
  if (is_closed_) return;
  if (Stream* stream = find(stream_id)) {
    stream->take_body(bytes);
  } else {
    nghttp2_session_consume_stream(session_, stream_id, bytes.size());
  }
}

void Http2Connection::take_stream_close(std::int32_t stream_id) {
  const auto found = streams_.find(stream_id);
  if (found == streams_.end()) return;
  std::unique_ptr<Stream> stream = std::move(found->second);
  streams_.erase(found);
  if (!is_closed_) stream->exchange_.cancel();
  stream->forget_unsent();
  loop().destroy_later(std::move(stream));
  if (streams_.empty()) idle_since_ = loop().now();
}

// An answer that was complete before its request: the rest is not wanted (RFC 9113 section 8.1).
void Http2Connection::on_answer_sent(std::int32_t stream_id) {
  resets_.give(1);
  const Stream* stream = find(stream_id);
  if (stream == nullptr || stream->is_request_whole_) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_NO_ERROR);
}

// --- Writing -------------------------------------------------------------------------------------

ssize_t Http2Connection::offer_data(Stream& stream, std::size_t size_max, std::uint32_t& flags) {
  const std::size_t size = std::min(size_max, stream.unsent_bytes());
  const bool is_last = size == stream.unsent_bytes();
  if (size == 0 && stream.end_ == Stream::End::open) {
    stream.is_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (size == 0 && stream.end_ == Stream::End::aborted) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // becomes a reset with INTERNAL_ERROR
  }
  flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (is_last && stream.end_ == Stream::End::finished) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream.trailers_.empty()) {
      flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      stream.submit_trailers();
    }
  }
  return static_cast<ssize_t>(size);
}

int Http2Connection::send_data(Stream& stream, const std::uint8_t* frame_head, std::size_t size) {
  if (transport_->is_congested()) return NGHTTP2_ERR_WOULDBLOCK;
  transport_->send_with([&](std::string& out) {
    constexpr std::size_t frame_head_size = 9;
    out.append(text(frame_head, frame_head_size));
    out.append(stream.unsent_.view().substr(0, size));
  });
  stream.unsent_.take(size, loop());
  unsent_bytes_ -= size;
  stream.answer_pace_.take(size, owner_.limits().pace_bytes_min, loop().now());
  control_frames_.give(static_cast<double>(size) / bytes_per_frame);
  if (stream.is_congested_ && stream.unsent_bytes() <= Exchange::low_water_bytes) {
    stream.is_congested_ = false;
    writable_.push_back(stream.id_);
  }
  return 0;
}

void Http2Connection::schedule_pump() {
  if (is_closed_ || pump_work_ != 0) return;
  pump_work_ = loop().at_end_of_turn([this] {
    pump_work_ = 0;
    pump();
  });
}

void Http2Connection::pump() {
  while (!transport_->is_congested()) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) return close();
    if (size == 0) break;
    transport_->send(text(bytes, static_cast<std::size_t>(size)));
  }
  for (const std::int32_t id : std::exchange(writable_, {})) {
    Stream* stream = find(id);
    if (stream != nullptr && stream->is_open()) stream->exchange_->on_writable();
    if (is_closed_) return;
  }
  settle();
}

void Http2Connection::on_writable() {
  schedule_pump();
}

void Http2Connection::on_flushed() {
  if (is_closed_ || transport_->unsent_bytes() > 0) return;
  const bool is_over =
      nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  if (is_over) is_failing_ || is_client_leaving_ ? start_linger() : close();
}

// Closing while the client still sends would reset the connection, and what we said be lost.
void Http2Connection::start_linger() {
  if (std::exchange(is_lingering_, true)) return;
  for (auto& [id, stream] : streams_) stream->exchange_.cancel();
  transport_->shutdown_sending();
  transport_->set_interest(Transport::Interest::read);
  deadline_.set(loop().now() + linger_timeout);
}

void Http2Connection::settle() {
  if (is_closed_ || is_lingering_) return;
  // A client that does not read is not read from: answers to its frames would pile up.
  transport_->set_interest(transport_->is_congested() ? Transport::Interest::hang_up
                                                      : Transport::Interest::read);
  transport_->request_flush();
  schedule_sweep();
}

// --- Deadlines -----------------------------------------------------------------------------------

// At the pace of what is there to be watched, and never later than it already was: traffic on one
// stream must not keep another from being looked at.
void Http2Connection::schedule_sweep() {
  const bool is_busy = !streams_.empty() || head_.is_begun || transport_->is_blocked();
  const Instant due =
      is_busy ? loop().now() + sweep_period : idle_since_ + owner_.limits().keep_alive_timeout;
  if (due >= sweep_due_) return;
  sweep_due_ = due;
  deadline_.set(due);
}

void Http2Connection::sweep() {
  sweep_due_ = Deadline::never;
  if (is_lingering_) return close();
  const Instant now = loop().now();
  const ServerLimits& limits = owner_.limits();
  if (transport_->is_blocked() && transport_->stalled_since() + limits.write_timeout <= now) {
    transport_->reset();
    return close();
  }
  if (head_.is_begun && head_begun_at_ + limits.head_timeout <= now) return close();
  if (streams_.empty() && idle_since_ + limits.keep_alive_timeout <= now) {
    nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
    return pump();
  }
  std::vector<std::int32_t> late;
  for (const auto& [id, stream] : streams_) {
    const bool is_body_late =
        stream->is_body_due() && stream->body_pace_.begun_at() + limits.body_timeout <= now;
    const bool is_unread =
        stream->unsent_bytes() > 0 && stream->answer_pace_.begun_at() + limits.write_timeout <= now;
    if (is_body_late || is_unread) late.push_back(id);
  }
  for (const std::int32_t id : late) {
    if (Stream* stream = find(id)) stream->exchange_.cancel();
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  }
  schedule_sweep();
  if (!late.empty()) schedule_pump();
}

}  // namespace staithe::net
