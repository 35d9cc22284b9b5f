#include "net/blocking_client.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/unique_fd.h"
#include "net/chunked_codec.h"
#include "net/head_encoder.h"
#include "net/head_parser.h"

namespace staithe::net {
namespace {

constexpr std::size_t head_bytes_max = 64 * 1024;

// One socket and the time until which anything may be waited for.
class BlockingSocket {
 public:
  explicit BlockingSocket(std::chrono::milliseconds timeout)
      : deadline_(clock_.instant() + timeout) {}

  Result<void> connect(const std::string& host, std::uint16_t port);
  // Goes on in TLS, once the server has shown that it is `host`.
  Result<void> secure(const TlsClientContext& context, const std::string& host, std::uint16_t port);
  Result<void> write(std::string_view bytes);
  // The bytes that came, at the front of the socket's own buffer; none at the end.
  Result<std::string_view> read();

 private:
  Result<void> connect_to(const addrinfo& address);
  Result<void> wait_for(short events);
  Result<void> write_raw(std::string_view bytes);
  Result<std::string_view> read_raw();
  Result<void> write_sealed();

  const SystemClock clock_;
  const Instant deadline_;
  UniqueFd fd_;
  std::array<char, 16 * 1024> buffer_{};
  std::unique_ptr<TlsSession> tls_;
  std::string opened_;       // room for what came out of TLS
  std::string_view unread_;  // of it
};

Error unavailable(std::string message) {
  return Error{.code = Code::unavailable, .message = std::move(message)};
}

Result<void> BlockingSocket::wait_for(short events) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock_.instant()).count();
    if (left <= 0) {
      return Error{.code = Code::deadline_exceeded, .message = "the server took too long"};
    }
    pollfd watched{fd_.get(), events, 0};
    const int ready = ::poll(&watched, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return unavailable(std::strerror(errno));
  }
}

Result<void> BlockingSocket::connect(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int problem = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (problem != 0) {
    return unavailable(fmt::format("cannot resolve {}: {}", host, ::gai_strerror(problem)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  Result<void> outcome = unavailable(fmt::format("{} has no address", host));
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    outcome = connect_to(*address);
    if (outcome) return outcome;
  }
  if (outcome.error().code == Code::deadline_exceeded) return outcome;
  return unavailable(
      fmt::format("cannot connect to {} port {}: {}", host, port, outcome.error().message));
}

Result<void> BlockingSocket::connect_to(const addrinfo& address) {
  fd_.reset(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_.is_open()) return unavailable(std::strerror(errno));
  if (::connect(fd_.get(), address.ai_addr, address.ai_addrlen) == 0) return {};
  if (errno != EINPROGRESS) return unavailable(std::strerror(errno));
  TRY(wait_for(POLLOUT));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return unavailable(std::strerror(error));
  return {};
}

Result<void> BlockingSocket::secure(const TlsClientContext& context, const std::string& host,
                                    std::uint16_t port) {
  tls_ = context.connect(host);
  if (tls_ == nullptr) {
    return unavailable(fmt::format("\"{}\" is not a name that a certificate can have", host));
  }
  opened_.resize(buffer_.size() + TlsSession::surplus_bytes_max);
  tls_->start();
  while (true) {
    TRY(write_sealed());
    if (tls_->is_established()) return {};
    if (tls_->phase() == TlsSession::Phase::broken) {
      return unavailable(fmt::format(
          "cannot talk to {} port {} over TLS: {}{}", host, port, tls_->problem(),
          tls_->is_peer_distrusted()
              ? "; name the authority that signed its certificate with --ca-file, and use a host "
                "name that the certificate is made out to"
              : ""));
    }
    TRY_ASSIGN(const std::string_view bytes, read_raw());
    if (bytes.empty()) {
      return unavailable(fmt::format(
          "{} port {} closed the connection instead of speaking TLS; use http:// if it speaks that",
          host, port));
    }
    unread_ = tls_->open(bytes, opened_);
  }
}

Result<void> BlockingSocket::write(std::string_view bytes) {
  if (tls_ == nullptr) return write_raw(bytes);
  tls_->seal(bytes);
  return write_sealed();
}

Result<void> BlockingSocket::write_sealed() {
  TRY(write_raw(tls_->outgoing().view()));
  tls_->outgoing().clear();
  return {};
}

Result<std::string_view> BlockingSocket::read() {
  if (tls_ == nullptr) return read_raw();
  while (unread_.empty()) {
    if (tls_->phase() == TlsSession::Phase::ended) return std::string_view();
    if (tls_->phase() == TlsSession::Phase::broken) {
      return unavailable(fmt::format("the server ended TLS: {}", tls_->problem()));
    }
    TRY_ASSIGN(const std::string_view bytes, read_raw());
    if (bytes.empty()) return unavailable("the connection was cut off");
    unread_ = tls_->open(bytes, opened_);
    TRY(write_sealed());
  }
  return std::exchange(unread_, {});
}

Result<void> BlockingSocket::write_raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t taken = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (taken >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(taken));
    } else if (errno == EAGAIN) {
      TRY(wait_for(POLLOUT));
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return {};  // the server may have answered before it closed; reading will tell
    } else if (errno != EINTR) {
      return unavailable(fmt::format("cannot send the request: {}", std::strerror(errno)));
    }
  }
  return {};
}

Result<std::string_view> BlockingSocket::read_raw() {
  for (;;) {
    const ssize_t size = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
    if (size >= 0) return std::string_view(buffer_.data(), static_cast<std::size_t>(size));
    if (errno == EAGAIN) {
      TRY(wait_for(POLLIN));
    } else if (errno != EINTR) {
      return unavailable(fmt::format("the connection broke: {}", std::strerror(errno)));
    }
  }
}

std::string encode(const BlockingRequest& request) {
  ClientRequest head{.method = request.method, .target = request.target};
  std::string_view host;
  for (const auto& [name, value] : request.headers) {
    if (equals_ignoring_case(name, "host")) host = value;
    head.headers.add(name, value);
  }
  if (!request.body.empty()) head.body = {BodyFraming::Kind::length, request.body.size()};
  const bool is_v6 = request.host.find(':') != std::string::npos;
  const std::string default_host =
      fmt::format("{}{}{}:{}", is_v6 ? "[" : "", request.host, is_v6 ? "]" : "", request.port);
  std::string out;
  append_request_head(out, head, host.empty() ? std::string_view(default_host) : host,
                      ConnectionOption::close);
  return out + request.body;
}

// Puts an answer together from the bytes of a connection.
class AnswerReader {
 public:
  AnswerReader(AnsweredMethod method, std::size_t answer_bytes_max)
      : method_(method), answer_bytes_max_(answer_bytes_max) {}

  bool is_whole() const { return is_whole_; }
  BlockingAnswer take() { return std::move(answer_); }
  Result<void> on_bytes(std::string_view bytes);
  Result<void> on_end();

 private:
  Result<void> read_head(std::string_view& input);
  Result<void> read_body(std::string_view& input);
  Result<void> add_body(std::string_view bytes);

  const AnsweredMethod method_;
  const std::size_t answer_bytes_max_;
  std::string head_bytes_;
  HeadScanner scanner_;
  ChunkedDecoder decoder_;
  BodyFraming body_;
  bool has_head_ = false;
  bool is_whole_ = false;
  BlockingAnswer answer_;
};

Result<void> AnswerReader::on_bytes(std::string_view bytes) {
  if (has_head_) return read_body(bytes);
  head_bytes_ += bytes;
  std::string_view input = head_bytes_;
  while (!has_head_) {
    const std::size_t size_before = input.size();
    TRY(read_head(input));
    if (input.size() == size_before) {
      head_bytes_.erase(0, head_bytes_.size() - input.size());
      return {};
    }
  }
  return read_body(input);
}

Result<void> AnswerReader::read_head(std::string_view& input) {
  const HeadScanner::Outcome outcome = scanner_.scan(input, head_bytes_max);
  if (outcome == HeadScanner::Outcome::incomplete) return {};
  if (outcome == HeadScanner::Outcome::refused) {
    return unavailable(fmt::format("the answer is malformed: {}", scanner_.refusal().reason));
  }
  const std::string_view head = input.substr(0, scanner_.head_size());
  scanner_ = {};
  ParsedResponse response;
  if (const auto refusal = parse_response_head(head, method_, response)) {
    return unavailable(fmt::format("the answer is malformed: {}", refusal->reason));
  }
  input.remove_prefix(head.size());
  if (response.head.status < 200) return {};
  has_head_ = true;
  body_ = response.head.body;
  answer_.status = response.head.status;
  for (const HeaderView& field : response.head.headers) {
    answer_.headers.emplace_back(to_lower(field.name), std::string(field.value));
  }
  return {};
}

Result<void> AnswerReader::read_body(std::string_view& input) {
  switch (body_.kind) {
    case BodyFraming::Kind::none:
      is_whole_ = true;
      return {};
    case BodyFraming::Kind::until_close:
      return add_body(input);
    case BodyFraming::Kind::length:
      TRY(add_body(input.substr(0, body_.length - answer_.body.size())));
      is_whole_ = answer_.body.size() == body_.length;
      return {};
    case BodyFraming::Kind::chunked:
      break;
  }
  for (;;) {
    std::string_view data;
    switch (decoder_.next(input, data)) {
      case ChunkedDecoder::Outcome::need_more:
        return {};
      case ChunkedDecoder::Outcome::data:
        TRY(add_body(data));
        break;
      case ChunkedDecoder::Outcome::end:
        is_whole_ = true;
        return {};
      case ChunkedDecoder::Outcome::bad:
        return unavailable("the answer's chunks are malformed");
    }
  }
}

Result<void> AnswerReader::add_body(std::string_view bytes) {
  if (answer_.body.size() + bytes.size() > answer_bytes_max_) {
    return Error{.code = Code::resource_exhausted,
                 .message = fmt::format("the answer is longer than {} bytes", answer_bytes_max_)};
  }
  answer_.body += bytes;
  return {};
}

Result<void> AnswerReader::on_end() {
  if (has_head_ && body_.kind == BodyFraming::Kind::until_close) {
    is_whole_ = true;
    return {};
  }
  return unavailable("the connection was closed before the answer was whole");
}

}  // namespace

Result<BlockingAnswer> send_blocking(const BlockingRequest& request) {
  if (!is_token(request.method) || !is_request_target(request.target)) {
    return Error{.code = Code::invalid_argument, .message = "the request line is malformed"};
  }
  BlockingSocket socket(request.timeout);
  TRY(socket.connect(request.host, request.port));
  if (request.tls != nullptr) TRY(socket.secure(*request.tls, request.host, request.port));
  TRY(socket.write(encode(request)));
  AnswerReader reader(request.method == "HEAD" ? AnsweredMethod::head : AnsweredMethod::other,
                      request.answer_bytes_max);
  while (!reader.is_whole()) {
    TRY_ASSIGN(const std::string_view bytes, socket.read());
    TRY(bytes.empty() ? reader.on_end() : reader.on_bytes(bytes));
  }
  return reader.take();
}

}  // namespace staithe::net
