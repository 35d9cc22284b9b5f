#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"
#include "net/event_loop.h"
#include "net/exchange.h"
#include "net/http_server.h"
#include "net/socket_address.h"

// What the tests over real loopback sockets share. Everything runs on the test's own thread: the
// peers' sockets never block, and the loop is turned by hand.
namespace staithe::net::testing {

// Turns `loop` until `is_done`; false when it takes too many turns.
template <typename IsDone>
bool run_until(EventLoop& loop, IsDone is_done, int turns_max = 1'000) {
  for (int i = 0; i < turns_max; ++i) {
    if (is_done()) return true;
    loop.run_once(std::chrono::milliseconds(5));
  }
  return is_done();
}

inline void run_turns(EventLoop& loop, int turns) {
  for (int i = 0; i < turns; ++i) loop.run_once(Duration::zero());
}

// The far end of a connection, speaking bytes.
class RawPeer {
 public:
  explicit RawPeer(UniqueFd fd) : fd_(std::move(fd)) {
    CHECK(::fcntl(fd_.get(), F_SETFL, O_NONBLOCK) == 0);
  }
  // A connection made by us; it waits in the listener's queue. A small receive buffer fills soon.
  static RawPeer connect(std::uint16_t port, int receive_buffer_bytes = 0) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (receive_buffer_bytes > 0) {
      CHECK(::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                         sizeof receive_buffer_bytes) == 0);
    }
    // What a test sends is there at once, not when the server has acknowledged what came before.
    const int on = 1;
    CHECK(::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    const auto address = parse_socket_address("127.0.0.1", port);
    CHECK(::connect(fd.get(), address->data(), address->size()) == 0);
    return RawPeer(std::move(fd));
  }

  void send(std::string_view bytes) {
    CHECK(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
  }
  // As much of `bytes` as the kernel takes.
  std::size_t send_some(std::string_view bytes) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }
  // Reads what is there; all that was read so far.
  const std::string& received() {
    std::array<char, 65536> buffer{};
    for (;;) {
      const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (size > 0) {
        received_.append(buffer.data(), static_cast<std::size_t>(size));
        continue;
      }
      is_ended_ |= size == 0;
      is_reset_ |= size < 0 && errno == ECONNRESET;
      return received_;
    }
  }
  bool has_received(std::string_view text) { return received().find(text) != std::string::npos; }
  bool is_ended() {
    received();
    return is_ended_;
  }
  bool is_reset() {
    received();
    return is_reset_;
  }
  bool is_gone() { return is_ended() || is_reset_; }
  void forget_received() { received_.clear(); }

  void shutdown_sending() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }
  void close_with_reset() {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.reset();
  }

 private:
  UniqueFd fd_;
  std::string received_;
  bool is_ended_ = false;
  bool is_reset_ = false;
};

// A listening socket whose connections are RawPeers.
class RawListener {
 public:
  RawListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const auto address = parse_socket_address("127.0.0.1", 0);
    CHECK(::bind(fd_.get(), address->data(), address->size()) == 0);
    CHECK(::listen(fd_.get(), 64) == 0);
    port_ = local_port(fd_.get());
  }
  std::uint16_t port() const { return port_; }
  std::optional<RawPeer> try_accept() {
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.is_open()) return std::nullopt;
    return RawPeer(std::move(fd));
  }
  RawPeer accept(EventLoop& loop) {
    std::optional<RawPeer> peer;
    CHECK(run_until(loop, [&] { return (peer = try_accept()).has_value(); }));
    return std::move(*peer);
  }
  void close() { fd_.reset(); }

 private:
  UniqueFd fd_;
  std::uint16_t port_ = 0;
};

// What one handler saw, kept beyond its life.
struct Seen {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool is_ended = false;
  bool is_cancelled = false;
  bool is_destroyed = false;
  int writable_count = 0;
  Exchange* exchange = nullptr;
};

// Keeps what it sees of every request, and does what the test tells it to.
class ScriptedRouter final : public RequestRouter {
 public:
  std::function<void(Seen&)> when_requested = [](Seen&) {};
  std::function<void(Seen&)> when_body = [](Seen&) {};
  std::function<void(Seen&)> when_ended = [](Seen&) {};
  std::function<void(Seen&)> when_writable = [](Seen&) {};
  std::function<void(Seen&)> when_cancelled = [](Seen&) {};

  std::size_t count() const { return seen_.size(); }
  Seen& at(std::size_t index) { return *seen_.at(index); }
  Seen& last() { return *seen_.back(); }

  std::unique_ptr<ExchangeHandler> on_request(const RequestHead& head,
                                              Exchange& exchange) override {
    Seen& seen = *seen_.emplace_back(std::make_unique<Seen>());
    seen.method = head.method;
    seen.target = head.target;
    for (const HeaderView& field : head.headers) {
      seen.headers.emplace_back(field.name, field.value);
    }
    seen.exchange = &exchange;
    auto handler = std::make_unique<Handler>(*this, seen);
    when_requested(seen);
    return handler;
  }

  // Answers with `body` and its length.
  static void answer(Seen& seen, std::string_view body, std::uint16_t status = 200) {
    seen.exchange->send_head({.status = status, .content_length = body.size()});
    seen.exchange->send_body(body);
    seen.exchange->finish();
  }

 private:
  class Handler final : public ExchangeHandler {
   public:
    Handler(ScriptedRouter& script, Seen& seen) : script_(script), seen_(seen) {}
    ~Handler() override { seen_.is_destroyed = true; }
    void on_body(std::string_view bytes) override {
      seen_.body += bytes;
      script_.when_body(seen_);
    }
    void on_request_end() override {
      seen_.is_ended = true;
      script_.when_ended(seen_);
    }
    void on_writable() override {
      ++seen_.writable_count;
      script_.when_writable(seen_);
    }
    void on_cancelled() override {
      seen_.is_cancelled = true;
      script_.when_cancelled(seen_);
    }

   private:
    ScriptedRouter& script_;
    Seen& seen_;
  };

  std::vector<std::unique_ptr<Seen>> seen_;
};

inline Listener listen_on_loopback() {
  return listen_on({.host = "127.0.0.1", .port = 0}).value();
}

}  // namespace staithe::net::testing
