#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "gateway/gateway.h"
#include "net/exchange.h"
#include "wire/api_handler.h"

namespace staithe::app {

// Who answers a request on the one port: ourselves (/healthz, /readyz, /metrics), a gateway, or the
// API.
class Front final : public net::RequestRouter {
 public:
  Front(gateway::Gateway& gateway, wire::ApiRouter& api, const Metrics& metrics,
        const std::atomic<bool>& is_serving)
      : gateway_(gateway), api_(api), metrics_(metrics), is_serving_(is_serving) {}

  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override;

 private:
  gateway::Gateway& gateway_;
  wire::ApiRouter& api_;
  const Metrics& metrics_;
  const std::atomic<bool>& is_serving_;
};

}  // namespace staithe::app
