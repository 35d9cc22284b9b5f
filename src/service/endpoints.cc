#include "service/endpoints.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"

namespace staithe::service {
namespace {

// "<name>.<organization>.<domain>", with the domain's port if it has one.
std::string main_authority(std::string_view name, std::string_view organization,
                           const EndpointTemplate& endpoints) {
  return to_lower(fmt::format("{}.{}.{}", name, organization, endpoints.domain));
}

}  // namespace

std::string main_host(std::string_view name, std::string_view organization,
                      const EndpointTemplate& endpoints) {
  if (endpoints.domain.empty()) return {};
  std::string host = main_authority(name, organization, endpoints);
  host.resize(std::min(host.find(':'), host.size()));
  return host;
}

std::vector<std::string> gateway_endpoints(const model::GatewaySpec& spec,
                                           const EndpointTemplate& endpoints) {
  std::vector<std::string> found;
  if (endpoints.domain.empty()) {
    found.push_back(fmt::format("{}/gateways/{}", endpoints.base_url, spec.id));
  } else {
    found.push_back(fmt::format("{}://{}", endpoints.scheme,
                                main_authority(spec.name, spec.organization_id, endpoints)));
  }
  if (!spec.endpoint_configuration.has_value()) return found;
  for (const std::string& host : spec.endpoint_configuration->additional_dns) {
    std::string endpoint = fmt::format("{}://{}", endpoints.scheme, host);
    if (std::find(found.begin(), found.end(), endpoint) == found.end()) {
      found.push_back(std::move(endpoint));
    }
  }
  return found;
}

}  // namespace staithe::service
