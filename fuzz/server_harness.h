#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "fuzz_input.h"
#include "net/connection_opener.h"
#include "net/exchange.h"
#include "net/head_encoder.h"

namespace staithe::fuzz {

// The last bytes of an input decide what the server's handlers do and how the bytes before them are
// cut; what they are made of is not the parser's business. Zeros when the input is too short.
class Choices {
 public:
  static constexpr std::size_t size = 16;

  // Takes them off the end of `input`.
  explicit Choices(std::string_view& input) {
    if (input.size() <= size) return;
    bytes_ = input.substr(input.size() - size);
    input.remove_suffix(size);
  }
  // One of 0 to count - 1, and another one each time until they repeat.
  std::size_t next(std::size_t count) {
    if (bytes_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(bytes_[at_++ % bytes_.size()]);
    return byte % count;
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

// How many exchanges there are, and were.
struct ExchangeCount {
  std::size_t opened = 0;
  std::size_t over = 0;
  std::size_t handlers = 0;  // alive
};

// Does with a request what the choices say, and holds the connection to the contract of a handler:
// nothing is told after the end, and the end comes once.
class ChoosingHandler final : public net::ExchangeHandler {
 public:
  ChoosingHandler(const net::RequestHead& head, net::Exchange& exchange, Choices& choices,
                  ExchangeCount& count)
      : exchange_(exchange), choices_(choices), count_(count) {
    ++count_.handlers;
    CHECK(net::is_token(head.method));
    CHECK(head.target == "*" || head.target.starts_with('/'));
    CHECK(net::is_request_target(head.target));
    CHECK(head.headers.count("host") <= 1);
    check_fields(head.headers);
    declared_ = head.body;
    if (choices_.next(4) == 1) act();
  }
  ~ChoosingHandler() override {
    CHECK(is_over_);
    --count_.handlers;
  }
  bool is_over() const { return is_over_; }

  void on_body(std::string_view bytes) override {
    CHECK(!is_over_ && !is_request_whole_ && !bytes.empty());
    received_ += bytes.size();
    if (declared_.kind == net::BodyFraming::Kind::length) CHECK(received_ <= declared_.length);
    CHECK(declared_.kind != net::BodyFraming::Kind::none);
    if (choices_.next(4) == 1) act();
  }
  void on_request_end() override {
    CHECK(!is_over_ && !is_request_whole_);
    if (declared_.kind == net::BodyFraming::Kind::length) CHECK(received_ == declared_.length);
    is_request_whole_ = true;
    if (choices_.next(8) != 1) answer();
  }
  void on_writable() override { CHECK(!is_over_); }
  void on_cancelled() override {
    CHECK(!is_over_);
    is_over_ = true;
  }

 private:
  void act() {
    switch (choices_.next(5)) {
      case 0:
        return answer();
      case 1:
        return exchange_.pause_body();
      case 2:
        return exchange_.resume_body();
      case 3:
        is_over_ = true;
        return exchange_.abort();
      default:
        if (!std::exchange(is_answer_begun_, true)) exchange_.send_head({});
        return exchange_.send_body("piece");
    }
  }
  void answer() {
    if (!is_answer_begun_) exchange_.send_head({.content_length = 5});
    exchange_.send_body("whole");
    is_over_ = true;
    exchange_.finish();
  }

  net::Exchange& exchange_;
  Choices& choices_;
  ExchangeCount& count_;
  net::BodyFraming declared_;
  std::uint64_t received_ = 0;
  bool is_request_whole_ = false;
  bool is_answer_begun_ = false;
  bool is_over_ = false;
};

// One connection of a server over a pair of sockets, on a clock of its own.
class ServerHarness final : public net::ServerConnectionOwner, public net::RequestRouter {
 public:
  explicit ServerHarness(Choices& choices) : choices_(choices) {
    int ends[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    client_.reset(ends[1]);
    auto opener =
        std::make_unique<net::ConnectionOpener>(*this, UniqueFd(ends[0]), std::string("192.0.2.1"));
    net::ServerConnection* key = opener.get();
    connections_.emplace(key, std::move(opener));
  }
  ~ServerHarness() override {
    client_.reset();
    turn();
    if (!connections_.empty()) connections_.begin()->first->close();
    turn();
    CHECK(connections_.empty());
    CHECK_THAT(count_.opened == count_.over, std::to_string(count_.opened) + " exchanges opened, " +
                                                 std::to_string(count_.over) + " ended");
    CHECK(count_.handlers == 0);
  }

  // Sends `bytes` in pieces, with turns and time in between; all that the server sent.
  std::string run(std::string_view bytes) {
    while (!bytes.empty() && !connections_.empty()) {
      const std::size_t shift = choices_.next(13);
      const std::string_view piece = bytes.substr(0, std::size_t{1} << shift);
      const ssize_t sent = ::send(client_.get(), piece.data(), piece.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      if (choices_.next(16) == 1) clock_.advance(std::chrono::seconds(20));
      turn();
      if (choices_.next(2) == 0) receive();
    }
    if (choices_.next(2) == 1) ::shutdown(client_.get(), SHUT_WR);
    turn();
    if (choices_.next(4) == 1) clock_.advance(std::chrono::seconds(400));
    turn();
    receive();
    return std::move(received_);
  }

  // ServerConnectionOwner
  net::EventLoop& loop() override { return loop_; }
  net::RequestRouter& router() override { return *this; }
  const net::ServerLimits& limits() const override { return limits_; }
  const net::TlsPolicy& tls_policy() const override { return tls_policy_; }
  std::uint64_t on_handshake_begun(net::ServerConnection&) override { return 1; }
  void on_handshake_over(std::uint64_t) override {}
  void when_handshake_may_go_on(std::uint64_t, std::function<void()> go_on) override { go_on(); }
  std::string_view date() override { return date_.at(clock_.now()); }
  bool is_draining() const override { return false; }
  net::ParsedRequest& request_space() override { return request_space_; }
  void on_exchange_opened() override { ++count_.opened; }
  void on_exchange_over() override {
    ++count_.over;
    CHECK(count_.over <= count_.opened);
  }
  void on_replaced(net::ServerConnection& connection,
                   std::unique_ptr<net::ServerConnection> next) override {
    on_closed(connection);
    net::ServerConnection* key = next.get();
    connections_.emplace(key, std::move(next));
  }
  void on_closed(net::ServerConnection& connection) override {
    const auto found = connections_.find(&connection);
    CHECK(found != connections_.end());
    loop_.destroy_later(std::move(found->second));
    connections_.erase(found);
  }

  // RequestRouter
  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override {
    auto handler = std::make_unique<ChoosingHandler>(head, exchange, choices_, count_);
    if (handler->is_over()) return nullptr;
    return handler;
  }

 private:
  void turn() {
    for (int i = 0; i < 3; ++i) loop_.run_once(Duration::zero());
  }
  void receive() {
    static char buffer[64 * 1024];
    for (ssize_t size = 0; (size = ::recv(client_.get(), buffer, sizeof buffer, 0)) > 0;)
      received_.append(buffer, static_cast<std::size_t>(size));
  }

  Choices& choices_;
  ExchangeCount count_;
  FakeClock clock_;
  net::EventLoop loop_{clock_};
  const net::ServerLimits limits_{.head_bytes_max = 4'096, .streams_max = 8};
  const net::TlsPolicy tls_policy_;  // cleartext
  net::HttpDate date_;
  net::ParsedRequest request_space_;
  std::unordered_map<net::ServerConnection*, std::unique_ptr<net::ServerConnection>> connections_;
  UniqueFd client_;
  std::string received_;
};

}  // namespace staithe::fuzz
