#include "wire/cors.h"

#include <algorithm>

namespace staithe::wire {

bool CorsPolicy::is_allowed(std::string_view origin) const {
  return std::any_of(origins_.begin(), origins_.end(), [origin](const std::string& allowed) {
    return allowed == "*" || allowed == origin;
  });
}

std::optional<RawAnswer> CorsPolicy::answer_preflight(const RawRequest& request) const {
  const bool is_preflight = request.method == "OPTIONS" && request.header("origin") &&
                            request.header("access-control-request-method");
  if (!is_preflight) return std::nullopt;
  RawAnswer answer{.status = 204};
  if (!is_allowed(*request.header("origin"))) return answer;
  answer.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE");
  answer.headers.emplace_back("Access-Control-Allow-Headers",
                              "authorization, content-type, connect-protocol-version, "
                              "connect-timeout-ms, grpc-timeout, x-grpc-web, x-user-agent");
  answer.headers.emplace_back("Access-Control-Max-Age", "7200");
  return answer;
}

void CorsPolicy::allow(const RawRequest& request, Metadata& headers) const {
  if (origins_.empty()) return;
  headers.emplace_back("Vary", "Origin");
  const auto origin = request.header("origin");
  if (!origin || !is_allowed(*origin)) return;
  headers.emplace_back("Access-Control-Allow-Origin", *origin);
  headers.emplace_back("Access-Control-Expose-Headers",
                       "grpc-status, grpc-message, grpc-status-details-bin, retry-after, "
                       "x-request-id");
}

}  // namespace staithe::wire
