#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/gateway.h"
#include "service/options.h"

namespace staithe::service {

// The host name of a gateway without its port, lower case; empty when gateways are told apart by
// path.
std::string main_host(std::string_view name, std::string_view organization,
                      const EndpointTemplate& endpoints);

// The absolute URIs of a gateway, the main one first, none twice.
std::vector<std::string> gateway_endpoints(const model::GatewaySpec& spec,
                                           const EndpointTemplate& endpoints);

}  // namespace staithe::service
