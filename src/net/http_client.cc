#include "net/http_client.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/client_connection.h"

namespace staithe::net {

struct HttpClient::Impl final : public ClientConnectionOwner {
  Impl(EventLoop& event_loop, const Limits& client_limits)
      : loop_(event_loop), limits_(client_limits) {}

  // The connection used last is the least likely to be closed by its peer, so it goes first.
  ClientConnection* take_idle(const Endpoint& endpoint) {
    const auto found = idle_.find(endpoint);
    if (found == idle_.end() || found->second.empty()) return nullptr;
    ClientConnection* connection = found->second.back();
    found->second.pop_back();
    --idle_count_;
    return connection;
  }

  ClientConnection& open(const Endpoint& endpoint) {
    auto connection = std::make_unique<ClientConnection>(*this, endpoint);
    ClientConnection& opened = *connection;
    connections_.emplace(&opened, std::move(connection));
    opened.connect();
    return opened;
  }

  void forget(const Endpoint& endpoint) {
    const auto found = idle_.find(endpoint);
    if (found == idle_.end()) return;
    const std::vector<ClientConnection*> idle = found->second;
    for (ClientConnection* connection : idle) connection->close();
    idle_.erase(endpoint);
  }

  void close_all() {
    std::vector<ClientConnection*> current;
    current.reserve(connections_.size());
    for (const auto& [key, connection] : connections_) current.push_back(key);
    for (ClientConnection* connection : current) connection->close();
  }

  // ClientConnectionOwner
  EventLoop& loop() override { return loop_; }
  const Limits& limits() const override { return limits_; }
  ParsedResponse& response_space() override { return response_space_; }
  bool keep(ClientConnection& connection) override {
    std::vector<ClientConnection*>& idle = idle_[connection.endpoint()];
    if (idle.size() >= limits_.idle_connections_per_endpoint_max) return false;
    idle.push_back(&connection);
    ++idle_count_;
    return true;
  }
  void on_closed(ClientConnection& connection) override {
    const auto found = idle_.find(connection.endpoint());
    if (found != idle_.end()) {
      idle_count_ -= std::erase(found->second, &connection);
      if (found->second.empty()) idle_.erase(found);
    }
    const auto owned = connections_.find(&connection);
    loop_.destroy_later(std::move(owned->second));
    connections_.erase(owned);
  }

  EventLoop& loop_;
  const Limits limits_;
  ParsedResponse response_space_;
  std::unordered_map<ClientConnection*, std::unique_ptr<ClientConnection>> connections_;
  std::map<Endpoint, std::vector<ClientConnection*>> idle_;
  std::size_t idle_count_ = 0;
};

HttpClient::HttpClient(EventLoop& loop, Limits limits)
    : impl_(std::make_unique<Impl>(loop, limits)) {}

HttpClient::~HttpClient() {
  impl_->close_all();
  // The connections just closed refer to their owner until the loop destroys them.
  EventLoop& loop = impl_->loop_;
  loop.destroy_later(std::move(impl_));
  loop.destroy_pending();
}

std::unique_ptr<ClientExchange> HttpClient::start(const Endpoint& endpoint,
                                                  const ClientRequest& request,
                                                  const ClientTimeouts& timeouts,
                                                  ClientHandler& handler) {
  ClientConnection* connection = impl_->take_idle(endpoint);
  if (connection == nullptr) connection = &impl_->open(endpoint);
  auto exchange = std::make_unique<ConnectionExchange>(*connection);
  connection->begin(request, timeouts, handler, *exchange);
  return exchange;
}

void HttpClient::forget(const Endpoint& endpoint) {
  impl_->forget(endpoint);
}

std::size_t HttpClient::idle_connection_count() const {
  return impl_->idle_count_;
}

}  // namespace staithe::net
