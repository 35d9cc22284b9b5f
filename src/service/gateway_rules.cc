#include "service/gateway_rules.h"

#include <fmt/format.h>

#include "base/ip_range.h"
#include "service/endpoints.h"
#include "service/request_checks.h"
#include "service/rules.h"
#include "service/violations.h"

namespace staithe::service {
namespace {

// A public host name must fit into a certificate's common name (RFC 5280 appendix A.1).
constexpr std::size_t host_length_max = 64;

void check_name(Violations& violations, const std::string& name, std::string_view organization,
                const EndpointTemplate& endpoints) {
  check_host_label(violations, "name", name);
  if (!rules::is_host_label(name)) return;
  const std::string host = main_host(name, organization, endpoints);
  if (host.size() > host_length_max) {
    violations.add("name", fmt::format("makes a host name of {} characters; at most {} are "
                                       "possible",
                                       host.size(), host_length_max));
  }
}

void check_wandb(Violations& violations, const pb::WeightsAndBiasesAuth& auth,
                 const ServiceOptions& options) {
  const std::string api_key = "weightsAndBiasesAuth.apiKey";
  const std::string server_url = "weightsAndBiasesAuth.serverUrl";
  constexpr std::string_view not_yet =
      "must be empty: custom W&B instances are not available yet, contact support";
  if (!auth.api_key().empty() && !options.allow_custom_wandb_instance) {
    violations.add(api_key, not_yet);
  }
  if (auth.server_url().empty()) {
    if (!auth.api_key().empty()) {
      violations.add(server_url, "is required when weightsAndBiasesAuth.apiKey is set");
    }
    return;
  }
  if (!rules::is_uri(auth.server_url())) violations.add(server_url, "must be a valid URI");
  if (!options.allow_custom_wandb_instance) violations.add(server_url, not_yet);
}

template <typename Request>
void check_auth(Violations& violations, const Request& request, const ServiceOptions& options) {
  if (request.auth_case() == Request::AUTH_NOT_SET) {
    violations.add_sentence("auth",
                            "exactly one of coreWeaveAuth, weightsAndBiasesAuth is required");
  } else if (request.has_weights_and_biases_auth()) {
    check_wandb(violations, request.weights_and_biases_auth(), options);
  }
}

void check_endpoint_configuration(Violations& violations,
                                  const pb::EndpointConfiguration& configuration) {
  const std::string field = "endpointConfiguration.additionalDns";
  const Texts& names = configuration.additional_dns();
  if (names.size() > additional_dns_max) {
    violations.add(field, fmt::format("must contain at most {} names", additional_dns_max));
  }
  check_unique(violations, field, names);
  for (int i = 0; i < names.size(); ++i) {
    if (!rules::is_hostname(names[i])) {
      violations.add(element(field, i), "must be a valid hostname");
    }
  }
}

void check_source_ip_ranges(Violations& violations,
                            const pb::EndpointConfiguration& configuration) {
  const std::string field = "endpointConfiguration.allowedSourceIpRanges";
  const Texts& ranges = configuration.allowed_source_ip_ranges();
  if (ranges.size() > source_ip_ranges_max) {
    violations.add(field, fmt::format("must contain at most {} ranges", source_ip_ranges_max));
  }
  check_unique(violations, field, ranges);
  for (int i = 0; i < ranges.size(); ++i) {
    if (!IpRange::parse(ranges[i])) {
      violations.add(element(field, i),
                     "must be a range of IP addresses, such as 192.0.2.0/24, or a single one");
    }
  }
}

void check_body_routing(Violations& violations, const pb::BodyBasedRouting& routing) {
  const int api_type = routing.api_type();
  if (api_type == pb::BodyBasedRouting::API_TYPE_UNSPECIFIED) {
    violations.add("bodyBasedRouting.apiType", "is required");
  } else if (api_type != pb::BodyBasedRouting::API_TYPE_OPENAI) {
    violations.add("bodyBasedRouting.apiType", "must be one of: API_TYPE_OPENAI");
  }
}

void check_header_routing(Violations& violations, const pb::HeaderBasedRouting& routing) {
  constexpr std::size_t name_length_max = 100;
  const std::string field = "headerBasedRouting.headerName";
  if (check_text(violations, field, routing.header_name(), name_length_max) &&
      !rules::is_header_name(routing.header_name())) {
    violations.add(field, "must be a valid HTTP field name");
  }
}

template <typename Request>
void check_routing(Violations& violations, const Request& request) {
  if (request.routing_case() == Request::ROUTING_NOT_SET) {
    violations.add_sentence(
        "routing",
        "exactly one of bodyBasedRouting, headerBasedRouting, pathBasedRouting is required");
  } else if (request.has_body_based_routing()) {
    check_body_routing(violations, request.body_based_routing());
  } else if (request.has_header_based_routing()) {
    check_header_routing(violations, request.header_based_routing());
  }
}

template <typename Request>
void check_spec(Violations& violations, const Request& request, std::string_view organization,
                const model::Catalogue& catalogue, const ServiceOptions& options) {
  check_name(violations, request.name(), organization, options.endpoints);
  check_zones(violations, "zones", request.zones(), catalogue);
  check_auth(violations, request, options);
  check_endpoint_configuration(violations, request.endpoint_configuration());
  check_source_ip_ranges(violations, request.endpoint_configuration());
  check_routing(violations, request);
}

}  // namespace

Result<void> validate(const pb::CreateGatewayRequest& request, std::string_view organization,
                      const model::Catalogue& catalogue, const ServiceOptions& options) {
  Violations violations;
  check_optional_id(violations, "id", request.id());
  check_spec(violations, request, organization, catalogue, options);
  return std::move(violations).result();
}

Result<void> validate(const pb::UpdateGatewayRequest& request, std::string_view organization,
                      const model::Catalogue& catalogue, const ServiceOptions& options) {
  Violations violations;
  check_id(violations, "id", request.id());
  check_spec(violations, request, organization, catalogue, options);
  return std::move(violations).result();
}

}  // namespace staithe::service
