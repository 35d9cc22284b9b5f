#include "net/http_client.h"

#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/client_connection.h"

namespace staithe::net {
namespace {

// The handle of one exchange. The connection may close or go back to the pool first; then it is
// inert.
class Exchanging final : public ClientExchange {
 public:
  Exchanging(std::shared_ptr<ClientConnection> connection, ClientHandler& handler)
      : connection_(std::move(connection)), inner_(handler) {}
  ~Exchanging() override {
    if (!inner_.is_over) connection_->cancel();
  }

  void send_body(std::string_view bytes) override {
    if (!inner_.is_over) connection_->send_body(bytes);
  }
  void finish_body() override {
    if (!inner_.is_over) connection_->finish_body();
  }
  bool is_congested() const override { return !inner_.is_over && connection_->is_congested(); }
  void pause() override {
    if (!inner_.is_over) connection_->pause();
  }
  void resume() override {
    if (!inner_.is_over) connection_->resume();
  }
  ClientHandler& inner() { return inner_; }

 private:
  // Notes the end before the caller's handler hears of it, since that may destroy this exchange.
  struct Inner final : public ClientHandler {
    explicit Inner(ClientHandler& outer_handler) : outer(outer_handler) {}
    void on_connected() override { outer.on_connected(); }
    void on_head(const ResponseHead& head) override { outer.on_head(head); }
    void on_body(std::string_view bytes) override { outer.on_body(bytes); }
    void on_writable() override { outer.on_writable(); }
    void on_end() override {
      is_over = true;
      outer.on_end();
    }
    void on_failure(const ClientFailure& failure) override {
      is_over = true;
      outer.on_failure(failure);
    }
    ClientHandler& outer;
    bool is_over = false;
  };

  std::shared_ptr<ClientConnection> connection_;
  Inner inner_;
};

}  // namespace

struct HttpClient::Impl final : public ClientConnectionOwner {
  Impl(EventLoop& event_loop, Limits client_limits) : loop_(event_loop), limits_(client_limits) {}

  ~Impl() override { close_all(); }

  void close_all() {
    std::vector<std::shared_ptr<ClientConnection>> all;
    for (const auto& [key, connection] : connections_) all.push_back(connection);
    for (const auto& connection : all) connection->close();
  }

  // The connection that was idle last: its peer is the least likely to have lost patience.
  std::shared_ptr<ClientConnection> take_idle(const Endpoint& endpoint) {
    const auto found = idle_.find(endpoint);
    if (found == idle_.end()) return nullptr;
    ClientConnection* connection = found->second.back();
    found->second.pop_back();
    --idle_count_;
    if (found->second.empty()) idle_.erase(found);
    return connections_.at(connection);
  }

  EventLoop& loop() override { return loop_; }
  const Limits& limits() const override { return limits_; }

  void on_idle(ClientConnection& connection) override {
    std::vector<ClientConnection*>& pool = idle_[connection.endpoint()];
    pool.push_back(&connection);
    ++idle_count_;
    if (pool.size() > limits_.idle_connections_per_endpoint_max) pool.front()->close();
  }

  void on_closed(ClientConnection& connection) override {
    if (const auto pool = idle_.find(connection.endpoint()); pool != idle_.end()) {
      idle_count_ -= std::erase(pool->second, &connection);
      if (pool->second.empty()) idle_.erase(pool);
    }
    const auto found = connections_.find(&connection);
    loop_.destroy_later(
        std::make_unique<std::shared_ptr<ClientConnection>>(std::move(found->second)));
    connections_.erase(found);
  }

  EventLoop& loop_;
  const Limits limits_;
  std::unordered_map<ClientConnection*, std::shared_ptr<ClientConnection>> connections_;
  std::map<Endpoint, std::vector<ClientConnection*>> idle_;
  std::size_t idle_count_ = 0;
};

HttpClient::HttpClient(EventLoop& loop, Limits limits)
    : impl_(std::make_unique<Impl>(loop, limits)) {}

// Connections refer to their owner until the loop has destroyed them.
HttpClient::~HttpClient() {
  impl_->close_all();
  EventLoop& loop = impl_->loop_;
  loop.destroy_later(std::move(impl_));
}

std::unique_ptr<ClientExchange> HttpClient::start(const Endpoint& endpoint,
                                                  const ClientRequest& request,
                                                  const ClientTimeouts& timeouts,
                                                  ClientHandler& handler) {
  std::shared_ptr<ClientConnection> connection = impl_->take_idle(endpoint);
  const bool is_new = connection == nullptr;
  if (is_new) {
    connection = std::make_shared<ClientConnection>(*impl_, endpoint);
    impl_->connections_.emplace(connection.get(), connection);
  }
  auto exchange = std::make_unique<Exchanging>(connection, handler);
  connection->start(request, timeouts, exchange->inner());
  if (is_new) connection->connect();
  return exchange;
}

void HttpClient::forget(const Endpoint& endpoint) {
  const auto found = impl_->idle_.find(endpoint);
  if (found == impl_->idle_.end()) return;
  const std::vector<ClientConnection*> pool = found->second;
  for (ClientConnection* connection : pool) connection->close();
}

std::size_t HttpClient::idle_connection_count() const {
  return impl_->idle_count_;
}

}  // namespace staithe::net
