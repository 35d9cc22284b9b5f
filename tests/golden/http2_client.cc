#include "golden/http2_client.h"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/unique_fd.h"
#include "net/socket_address.h"

namespace staithe::tests {
namespace {

Error broken(std::string message) {
  return Error{.code = Code::unavailable, .message = std::move(message)};
}

std::string as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// nghttp2's client side around one stream, without a socket.
class OneStream {
 public:
  explicit OneStream(const net::BlockingRequest& request) : unsent_(request.body) {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0);
    nghttp2_session_callbacks_del(callbacks);
    CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0) == 0);
    submit(request);
  }
  ~OneStream() { nghttp2_session_del(session_); }
  OneStream(const OneStream&) = delete;
  OneStream& operator=(const OneStream&) = delete;

  // What is to be sent next; empty when that is all for now.
  std::string take_outgoing() {
    std::string out;
    while (true) {
      const std::uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      if (size <= 0) return out;
      out += as_text(bytes, static_cast<std::size_t>(size));
    }
  }
  Result<void> on_received(std::string_view bytes) {
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (taken == static_cast<ssize_t>(bytes.size())) return {};
    return broken(fmt::format("not HTTP/2: {}", nghttp2_strerror(static_cast<int>(taken))));
  }
  bool is_closed() const { return close_code_.has_value(); }
  // Once the stream is closed.
  Result<HttpAnswer> take() {
    if (*close_code_ != NGHTTP2_NO_ERROR) {
      return broken(fmt::format("the stream was reset with error {}", *close_code_));
    }
    return std::move(answer_);
  }

 private:
  void submit(const net::BlockingRequest& request) {
    HttpAnswer::Fields fields{{":method", request.method},
                              {":scheme", "http"},
                              {":authority", fmt::format("{}:{}", request.host, request.port)},
                              {":path", request.target}};
    for (const auto& [name, value] : request.headers) fields.emplace_back(to_lower(name), value);
    std::vector<nghttp2_nv> list;
    for (auto& [name, value] : fields) {
      list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                      reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
    }
    nghttp2_data_provider body{};
    body.read_callback = read_body;
    CHECK(nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                 unsent_.empty() ? nullptr : &body, nullptr) > 0);
  }

  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size,
                           std::uint32_t* flags, nghttp2_data_source*, void* self) {
    std::string& unsent = static_cast<OneStream*>(self)->unsent_;
    const std::size_t taken = unsent.copy(reinterpret_cast<char*>(buffer), size);
    unsent.erase(0, taken);
    if (unsent.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(taken);
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* self) {
    HttpAnswer& answer = static_cast<OneStream*>(self)->answer_;
    std::string key = as_text(name, name_size);
    std::string text = as_text(value, value_size);
    if (key == ":status") {
      std::from_chars(text.data(), text.data() + text.size(), answer.status);
      return 0;
    }
    const bool is_head = frame->headers.cat == NGHTTP2_HCAT_RESPONSE;
    (is_head ? answer.headers : answer.trailers).emplace_back(std::move(key), std::move(text));
    return 0;
  }

  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* data,
                     std::size_t size, void* self) {
    static_cast<OneStream*>(self)->answer_.body += as_text(data, size);
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t, std::uint32_t code, void* self) {
    static_cast<OneStream*>(self)->close_code_ = code;
    return 0;
  }

  nghttp2_session* session_ = nullptr;
  std::string unsent_;
  HttpAnswer answer_;
  std::optional<std::uint32_t> close_code_;
};

// A blocking socket with a deadline for everything on it.
class Socket {
 public:
  explicit Socket(std::chrono::milliseconds timeout) : deadline_(clock_.instant() + timeout) {}

  Result<void> connect(const std::string& host, std::uint16_t port) {
    const auto address = net::parse_socket_address(host, port);
    if (!address) return broken("not an IP address: " + host);
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd_.get(), address->data(), address->size()) == 0) return {};
    return broken(fmt::format("cannot connect: {}", std::strerror(errno)));
  }

  Result<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      TRY(wait_for(POLLOUT));
      const ssize_t taken =
          ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (taken < 0 && errno != EAGAIN) return broken(std::strerror(errno));
      if (taken > 0) bytes.remove_prefix(static_cast<std::size_t>(taken));
    }
    return {};
  }

  // The bytes that came; none at the end.
  Result<std::string_view> read() {
    TRY(wait_for(POLLIN));
    const ssize_t size = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
    if (size < 0) return broken(std::strerror(errno));
    return std::string_view(buffer_.data(), static_cast<std::size_t>(size));
  }

 private:
  Result<void> wait_for(short events) {
    pollfd watched{fd_.get(), events, 0};
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock_.instant()).count();
    if (::poll(&watched, 1, static_cast<int>(std::max<std::int64_t>(left, 0))) == 1) return {};
    return Error{.code = Code::deadline_exceeded, .message = "the server took too long"};
  }

  const SystemClock clock_;
  const Instant deadline_;
  UniqueFd fd_;
  std::array<char, 16 * 1024> buffer_{};
};

}  // namespace

Result<HttpAnswer> send_http2(const net::BlockingRequest& request) {
  Socket socket(request.timeout);
  TRY(socket.connect(request.host, request.port));
  OneStream stream(request);
  while (true) {
    TRY(socket.write(stream.take_outgoing()));
    if (stream.is_closed()) return stream.take();
    TRY_ASSIGN(const std::string_view bytes, socket.read());
    if (bytes.empty()) return broken("the connection was closed before the answer was whole");
    TRY(stream.on_received(bytes));
  }
}

}  // namespace staithe::tests
