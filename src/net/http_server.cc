#include "net/http_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <deque>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/connection_opener.h"
#include "net/head_encoder.h"
#include "net/head_parser.h"
#include "net/server_connection.h"
#include "net/socket_address.h"

namespace staithe::net {
namespace {

constexpr int accepts_per_turn_max = 64;
// Each is a good part of a millisecond, and requests take two turns.
constexpr int handshakes_per_turn_max = 1;
// How long accepting rests when the process is out of descriptors or memory.
constexpr std::chrono::milliseconds accept_rest{100};
constexpr std::string_view full_answer =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    "Connection: close\r\n\r\n";

}  // namespace

struct HttpServer::Impl final : public FdHandler, public ServerConnectionOwner {
  Impl(EventLoop& event_loop, RequestRouter& request_router, Listener new_listener,
       ServerLimits server_limits, TlsPolicy policy)
      : loop_(event_loop),
        router_(request_router),
        listener_(std::move(new_listener)),
        limits_(server_limits),
        tls_policy_(policy) {
    CHECK(tls_policy_.contexts != nullptr || tls_policy_.speech == TlsPolicy::Speech::cleartext);
    loop_.watch(listener_.fd.get(), EPOLLIN, *this);
  }

  void on_ready(std::uint32_t) override {
    for (int i = 0; i < accepts_per_turn_max && accept_one(); ++i) {
    }
  }

  // False when there is nothing more to accept for now.
  bool accept_one() {
    SocketAddress peer;
    UniqueFd fd(::accept4(listener_.fd.get(), peer.data(), peer.size_to_fill(),
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.is_open()) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) rest();
      return errno == ECONNABORTED || errno == EINTR;
    }
    if (connections_.size() >= limits_.connections_max) {
      // A courtesy: the client may also see nothing but the close.
      [[maybe_unused]] const auto sent =
          ::send(fd.get(), full_answer.data(), full_answer.size(), MSG_NOSIGNAL);
      return true;
    }
    auto connection = std::make_unique<ConnectionOpener>(*this, std::move(fd), peer.host());
    connections_.emplace(connection.get(), std::move(connection));
    return true;
  }

  void rest() {
    if (rest_timer_ != 0) return;
    loop_.unwatch(listener_.fd.get());
    rest_timer_ = loop_.run_after(accept_rest, [this] {
      rest_timer_ = 0;
      loop_.watch(listener_.fd.get(), EPOLLIN, *this);
    });
  }

  void schedule_handshakes() {
    if (handshake_timer_ != 0 || waiting_handshakes_.empty()) return;
    handshake_timer_ = loop_.run_after(Duration::zero(), [this] {
      handshake_timer_ = 0;
      go_on_with_handshakes();
    });
  }

  void go_on_with_handshakes() {
    int left = handshakes_per_turn_max;
    while (left > 0 && !waiting_handshakes_.empty()) {
      const auto [handshake, go_on] = std::move(waiting_handshakes_.front());
      waiting_handshakes_.pop_front();
      if (!handshakes_.contains(handshake)) continue;
      go_on();
      --left;
    }
    schedule_handshakes();
  }

  void stop_accepting() {
    if (!listener_.fd.is_open()) return;
    if (rest_timer_ == 0) loop_.unwatch(listener_.fd.get());
    loop_.cancel(std::exchange(rest_timer_, 0));
    listener_.fd.reset();
  }

  void drain(std::function<void()> done) {
    drained_ = std::move(done);
    if (is_draining_) return tell_if_drained();
    is_draining_ = true;
    // Closing the listener resets what waits in its queue, so that is taken first.
    while (rest_timer_ == 0 && accept_one()) {
    }
    stop_accepting();
    // On a turn of its own, because draining reads, and whoever asks may be in a handler.
    drain_timer_ = loop_.run_after(Duration::zero(), [this] {
      drain_timer_ = 0;
      for (ServerConnection* connection : current_connections()) connection->drain();
      tell_if_drained();
    });
  }

  void close_all() {
    for (ServerConnection* connection : current_connections()) connection->close();
  }

  void shut_down() {
    loop_.cancel(std::exchange(drain_timer_, 0));
    loop_.cancel(std::exchange(handshake_timer_, 0));
    waiting_handshakes_.clear();
    stop_accepting();
    drained_ = nullptr;
    close_all();
  }

  // Pointers that stay valid for this turn, whatever is closed meanwhile.
  std::vector<ServerConnection*> current_connections() const {
    std::vector<ServerConnection*> current;
    current.reserve(connections_.size());
    for (const auto& [key, connection] : connections_) current.push_back(key);
    return current;
  }

  void tell_if_drained() {
    if (!is_draining_ || drain_timer_ != 0 || !connections_.empty() || !drained_) return;
    loop_.post(std::exchange(drained_, nullptr));
  }

  // ServerConnectionOwner
  EventLoop& loop() override { return loop_; }
  RequestRouter& router() override { return router_; }
  const ServerLimits& limits() const override { return limits_; }
  const TlsPolicy& tls_policy() const override { return tls_policy_; }
  std::string_view date() override { return date_.at(loop_.clock().now()); }
  bool is_draining() const override { return is_draining_; }
  ParsedRequest& request_space() override { return request_space_; }
  std::uint64_t on_handshake_begun(ServerConnection& connection) override {
    // An honest client is done in milliseconds: whoever has taken longest is least likely one.
    while (!handshakes_.empty() && handshakes_.size() >= limits_.handshakes_max) {
      handshakes_.begin()->second->close();
    }
    handshakes_.emplace(++last_handshake_, &connection);
    return last_handshake_;
  }
  void on_handshake_over(std::uint64_t handshake) override { handshakes_.erase(handshake); }
  void when_handshake_may_go_on(std::uint64_t handshake, std::function<void()> go_on) override {
    waiting_handshakes_.emplace_back(handshake, std::move(go_on));
    schedule_handshakes();
  }
  void on_exchange_opened() override { ++exchange_count_; }
  void on_exchange_over() override { --exchange_count_; }
  void on_replaced(ServerConnection& connection, std::unique_ptr<ServerConnection> next) override {
    const auto found = connections_.find(&connection);
    loop_.destroy_later(std::move(found->second));
    connections_.erase(found);
    ServerConnection* key = next.get();
    connections_.emplace(key, std::move(next));
  }
  void on_closed(ServerConnection& connection) override {
    const auto found = connections_.find(&connection);
    loop_.destroy_later(std::move(found->second));
    connections_.erase(found);
    tell_if_drained();
  }

  EventLoop& loop_;
  RequestRouter& router_;
  Listener listener_;
  const ServerLimits limits_;
  const TlsPolicy tls_policy_;
  HttpDate date_;
  ParsedRequest request_space_;
  std::unordered_map<ServerConnection*, std::unique_ptr<ServerConnection>> connections_;
  std::map<std::uint64_t, ServerConnection*> handshakes_;  // the oldest first
  std::uint64_t last_handshake_ = 0;
  // Some may be over.
  std::deque<std::pair<std::uint64_t, std::function<void()>>> waiting_handshakes_;
  std::size_t exchange_count_ = 0;
  TimerId rest_timer_ = 0;
  TimerId drain_timer_ = 0;
  TimerId handshake_timer_ = 0;
  bool is_draining_ = false;
  std::function<void()> drained_;
};

HttpServer::HttpServer(EventLoop& loop, RequestRouter& router, Listener listener,
                       ServerLimits limits, TlsPolicy tls_policy)
    : impl_(std::make_unique<Impl>(loop, router, std::move(listener), limits, tls_policy)) {}

HttpServer::~HttpServer() {
  impl_->shut_down();
  // The connections just closed refer to their owner until the loop destroys them.
  EventLoop& loop = impl_->loop_;
  loop.destroy_later(std::move(impl_));
  loop.destroy_pending();
}

void HttpServer::drain(std::function<void()> done) {
  impl_->drain(std::move(done));
}

void HttpServer::close_all() {
  impl_->close_all();
}

std::size_t HttpServer::connection_count() const {
  return impl_->connections_.size();
}

std::size_t HttpServer::exchange_count() const {
  return impl_->exchange_count_;
}

std::size_t HttpServer::handshake_count() const {
  return impl_->handshakes_.size();
}

}  // namespace staithe::net
