#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/resource.h"

namespace staithe::model {

struct CoreWeaveAuth {
  bool operator==(const CoreWeaveAuth&) const = default;
};

struct WeightsAndBiasesAuth {
  std::string api_key;  // secret: never shown
  std::string server_url;
  bool enable_usage_reports = false;
  bool enable_rate_limiting = false;

  bool operator==(const WeightsAndBiasesAuth&) const = default;
};

enum class ApiType : std::uint8_t { unspecified = 0, openai = 1 };

struct BodyBasedRouting {
  ApiType api_type = ApiType::unspecified;
  bool operator==(const BodyBasedRouting&) const = default;
};
struct HeaderBasedRouting {
  std::string header_name;
  bool operator==(const HeaderBasedRouting&) const = default;
};
struct PathBasedRouting {
  bool operator==(const PathBasedRouting&) const = default;
};

struct EndpointConfiguration {
  std::vector<std::string> additional_dns;
  std::vector<std::string> allowed_source_ip_ranges;  // empty: every address
  bool operator==(const EndpointConfiguration&) const = default;
};

struct GatewaySpec {
  Id id;
  std::string name;
  std::vector<std::string> zones;  // as written; empty: every zone
  std::variant<CoreWeaveAuth, WeightsAndBiasesAuth> auth;
  std::variant<BodyBasedRouting, HeaderBasedRouting, PathBasedRouting> routing;
  std::optional<EndpointConfiguration> endpoint_configuration;
  std::string organization_id;

  bool operator==(const GatewaySpec&) const = default;
};

struct GatewayStatus : StatusBase {
  std::vector<std::string> endpoints;  // absolute URIs, the main one first
  bool operator==(const GatewayStatus&) const = default;
};

// An authenticated OpenAI-compatible entry point.
struct Gateway {
  GatewaySpec spec;
  GatewayStatus status;

  bool operator==(const Gateway&) const = default;
};

}  // namespace staithe::model
