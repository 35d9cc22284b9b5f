#include "wire/api_handler.h"

#include <utility>

#include "wire/call_exchange.h"

namespace staithe::wire {
namespace {

Error taken_over() {
  return {.code = Code::unavailable,
          .message = "this server is being replaced by another one; try again",
          .reason = "SERVER_REPLACED"};
}

}  // namespace

ApiRouter::ApiRouter(const MethodTable& table, const auth::TokenTable& tokens, const Clock& clock,
                     Random& random, ApiOptions options, Metrics& metrics)
    : context_{tokens, clock, random, CallMetrics(metrics, table), std::move(options), open_calls_},
      paths_(table),
      rest_(table, context_.options.rest_error_code, context_.options.body_bytes_max),
      connect_(paths_, context_.options.body_bytes_max),
      connect_stream_(paths_, context_.options.body_bytes_max),
      grpc_(paths_, GrpcDialect::Flavor::http2, context_.options.body_bytes_max),
      grpc_web_(paths_, GrpcDialect::Flavor::web, context_.options.body_bytes_max) {}

const Dialect& ApiRouter::dialect_for(const RawRequest& request) const {
  const std::string& media_type = request.media_type;
  if (GrpcDialect::claims(GrpcDialect::Flavor::http2, media_type)) return grpc_;
  if (GrpcDialect::claims(GrpcDialect::Flavor::web, media_type)) return grpc_web_;
  if (ConnectStreamDialect::claims(media_type)) return connect_stream_;
  // A path of ours, or a client that will read the refusal as Connect's.
  const bool is_connect = paths_.knows_service_of(request.path) ||
                          media_type == ConnectDialect::binary_type ||
                          request.header("connect-protocol-version");
  if (is_connect) return connect_;
  return rest_;
}

std::unique_ptr<net::ExchangeHandler> ApiRouter::on_request(const net::RequestHead& head,
                                                            net::Exchange& exchange) {
  RawRequest request = make_raw_request(head);
  const Dialect& dialect = dialect_for(request);
  Dialect::Chosen chosen = dialect.choose(request);
  if (chosen.method != nullptr && is_closed_.load(std::memory_order_acquire)) {
    chosen = {.method = nullptr, .refusal = dialect.write_error(taken_over(), request)};
  }
  const bool is_stream = chosen.method != nullptr && chosen.method->kind != Method::Kind::unary;
  CallExchange::Parts parts{context_, exchange, dialect, std::move(request), std::move(chosen)};
  return is_stream ? make_stream_exchange(std::move(parts))
                   : make_unary_exchange(std::move(parts), head.body);
}

}  // namespace staithe::wire
