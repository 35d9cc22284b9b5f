#include "gateway/cors.h"

#include <algorithm>

namespace staithe::gateway {

std::string_view CorsPolicy::allowed_origin(const net::RequestHead& head) const {
  if (!is_on()) return {};
  const std::string_view origin = head.headers.find("origin").value_or("");
  const bool is_allowed = std::any_of(
      origins_.begin(), origins_.end(),
      [origin](const std::string& allowed) { return allowed == "*" || allowed == origin; });
  return is_allowed ? origin : std::string_view{};
}

bool is_preflight(const net::RequestHead& head) {
  return head.method == "OPTIONS" && head.headers.find("origin") &&
         head.headers.find("access-control-request-method");
}

// Pages send fields that only their engine knows, so those that are asked for are allowed: a "*"
// would leave out Authorization.
void add_preflight_headers(const net::RequestHead& head, net::HeaderList& headers) {
  headers.add("Access-Control-Allow-Methods", "GET, POST, DELETE");
  if (const auto fields = head.headers.find("access-control-request-headers")) {
    headers.add("Access-Control-Allow-Headers", *fields);
  }
  headers.add("Access-Control-Max-Age", "7200");
}

void add_cors_headers(std::string_view origin, net::HeaderList& headers) {
  headers.add("Vary", "Origin");
  if (origin.empty()) return;
  headers.add("Access-Control-Allow-Origin", origin);
  headers.add("Access-Control-Expose-Headers",
              "retry-after, staithe-routing, x-inference-deployment, x-request-id");
}

}  // namespace staithe::gateway
