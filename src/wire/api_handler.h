#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "auth/token_table.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "net/exchange.h"
#include "wire/call_metrics.h"
#include "wire/connect.h"
#include "wire/cors.h"
#include "wire/error_drawing.h"
#include "wire/grpc.h"
#include "wire/method.h"
#include "wire/rest.h"

namespace staithe::wire {

struct ApiOptions {
  RestErrorCode rest_error_code = RestErrorCode::rpc;
  std::size_t body_bytes_max = 4 * 1024 * 1024;  // of a message, packed and unpacked
  CorsPolicy cors;
};

// What every call of the API needs.
struct ApiContext {
  const auth::TokenTable& tokens;
  const Clock& clock;
  Random& random;
  const CallMetrics metrics;
  const ApiOptions options;
  std::atomic<std::size_t>& open_calls;  // with one message each way
};

// The control-plane API on an exchange: chooses dialect and method, authenticates, authorizes,
// parses, calls, and draws the outcome. Also serves the OpenAPI documents. Shared by all loops;
// what it is made from outlives it.
class ApiRouter final : public net::RequestRouter {
 public:
  ApiRouter(const MethodTable& table, const auth::TokenTable& tokens, const Clock& clock,
            Random& random, ApiOptions options, Metrics& metrics);

  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override;

  // From now on whoever asks is told that another server takes over (UNAVAILABLE: it can be tried
  // again). Any thread.
  void close() { is_closed_.store(true, std::memory_order_release); }
  // Calls with one message each way that have begun and not ended. Any thread.
  std::size_t open_calls() const { return open_calls_.load(std::memory_order_acquire); }

 private:
  const Dialect& dialect_for(const RawRequest& request) const;

  std::atomic<bool> is_closed_{false};
  std::atomic<std::size_t> open_calls_{0};
  const ApiContext context_;
  const RpcPaths paths_;
  const RestDialect rest_;
  const ConnectDialect connect_;
  const ConnectStreamDialect connect_stream_;
  const GrpcDialect grpc_;
  const GrpcDialect grpc_web_;
};

}  // namespace staithe::wire
