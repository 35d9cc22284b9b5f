#include "net/blocking_client.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/unique_fd.h"
#include "net/chunked_codec.h"
#include "net/head_encoder.h"
#include "net/head_parser.h"

namespace staithe::net {
namespace {

Error unreachable(const BlockingRequest& request, std::string_view why) {
  return Error{.code = Code::unavailable,
               .message = fmt::format("cannot reach {}:{}: {}", request.host, request.port, why)};
}

Error too_slow(const BlockingRequest& request) {
  return Error{.code = Code::deadline_exceeded,
               .message = fmt::format("{}:{} did not answer within {} ms", request.host,
                                      request.port, request.timeout.count())};
}

// One exchange against one deadline.
class Blocking {
 public:
  explicit Blocking(const BlockingRequest& request)
      : request_(request), due_(clock_.instant() + request.timeout) {}

  Result<BlockingAnswer> run() {
    TRY(connect());
    TRY(send());
    while (!is_whole_) TRY(receive());
    return std::move(answer_);
  }

 private:
  // True when the descriptor is ready before the deadline.
  bool wait(short events) {
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(due_ - clock_.instant()).count();
      if (left <= 0) return false;
      pollfd one{fd_.get(), events, 0};
      const int ready = ::poll(&one, 1, static_cast<int>(left));
      if (ready > 0) return true;
      if (ready == 0) return false;
      if (errno != EINTR) return false;
    }
  }

  Result<void> connect() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int outcome =
        ::getaddrinfo(request_.host.c_str(), std::to_string(request_.port).c_str(), &hints, &found);
    if (outcome != 0) return unreachable(request_, ::gai_strerror(outcome));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
    int problem = EADDRNOTAVAIL;
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
      fd_.reset(::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      if (!fd_.is_open()) continue;
      if (::connect(fd_.get(), address->ai_addr, address->ai_addrlen) == 0) return {};
      problem = errno;
      if (problem != EINPROGRESS) continue;
      if (!wait(POLLOUT)) return too_slow(request_);
      socklen_t size = sizeof problem;
      ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
      if (problem == 0) return {};
    }
    return unreachable(request_, std::strerror(problem));
  }

  Result<void> send() {
    ClientRequest head;
    head.method = request_.method;
    head.target = request_.target;
    for (const auto& [name, value] : request_.headers) head.headers.add(name, value);
    const bool has_body = !request_.body.empty() || request_.method == "POST" ||
                          request_.method == "PUT" || request_.method == "PATCH";
    if (has_body) head.body = {BodyFraming::Kind::length, request_.body.size()};
    std::string bytes;
    append_request_head(bytes, head, fmt::format("{}:{}", request_.host, request_.port),
                        ConnectionOption::close);
    bytes += request_.body;
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const ssize_t sent = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        rest.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        if (!wait(POLLOUT)) return too_slow(request_);
      } else if (errno == EPIPE || errno == ECONNRESET) {
        return {};  // it may have answered before it stopped reading
      } else if (errno != EINTR) {
        return unreachable(request_, std::strerror(errno));
      }
    }
    return {};
  }

  Result<void> receive() {
    if (!wait(POLLIN)) return too_slow(request_);
    char buffer[16 * 1024];
    const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (got <= 0) {
      if (got == 0 && is_head_read_ && framing_.kind == BodyFraming::Kind::until_close) {
        is_whole_ = true;
        return {};
      }
      return unreachable(request_, got == 0 ? "it closed the connection before its answer was whole"
                                            : std::strerror(errno));
    }
    unread_.append(buffer, static_cast<std::size_t>(got));
    if (!is_head_read_) TRY(read_head());
    if (is_head_read_) TRY(read_body());
    return {};
  }

  Result<void> read_head() {
    while (true) {
      HeadScanner scanner;
      const auto outcome = scanner.scan(unread_, 64 * 1024);
      if (outcome == HeadScanner::Outcome::incomplete) return {};
      if (outcome == HeadScanner::Outcome::refused) {
        return unreachable(request_, scanner.refusal().reason);
      }
      ParsedResponse response;
      const std::string head = unread_.substr(0, scanner.head_size());
      const auto method = request_.method == "HEAD" ? AnsweredMethod::head : AnsweredMethod::other;
      if (const auto refusal = parse_response_head(head, method, response)) {
        return unreachable(request_, refusal->reason);
      }
      unread_.erase(0, head.size());
      if (response.head.status < 200) continue;
      answer_.status = response.head.status;
      framing_ = response.head.body;
      for (const HeaderView& field : response.head.headers) {
        answer_.headers.emplace_back(to_lower(field.name), std::string(field.value));
      }
      is_head_read_ = true;
      return {};
    }
  }

  Result<void> read_body() {
    std::string_view input = unread_;
    switch (framing_.kind) {
      case BodyFraming::Kind::none:
        is_whole_ = true;
        break;
      case BodyFraming::Kind::until_close:
        answer_.body += input;
        break;
      case BodyFraming::Kind::length:
        answer_.body += input;
        is_whole_ = answer_.body.size() >= framing_.length;
        break;
      case BodyFraming::Kind::chunked: {
        auto outcome = ChunkedDecoder::Outcome::data;
        while (outcome == ChunkedDecoder::Outcome::data) {
          std::string_view data;
          outcome = decoder_.next(input, data);
          answer_.body += data;
        }
        if (outcome == ChunkedDecoder::Outcome::bad) {
          return unreachable(request_, "its chunked body is malformed");
        }
        is_whole_ = outcome == ChunkedDecoder::Outcome::end;
        break;
      }
    }
    unread_.clear();
    if (answer_.body.size() > request_.answer_bytes_max) {
      return unreachable(request_, "its answer is too large");
    }
    return {};
  }

  const BlockingRequest& request_;
  SystemClock clock_;
  Instant due_;
  UniqueFd fd_;
  std::string unread_;
  BlockingAnswer answer_;
  BodyFraming framing_;
  ChunkedDecoder decoder_;
  bool is_head_read_ = false;
  bool is_whole_ = false;
};

}  // namespace

Result<BlockingAnswer> send_blocking(const BlockingRequest& request) {
  return Blocking(request).run();
}

}  // namespace staithe::net
