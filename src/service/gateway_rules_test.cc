#include "service/gateway_rules.h"

#include <gtest/gtest.h>

#include <functional>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

using Request = pb::CreateGatewayRequest;
using Lines = std::vector<std::string>;

Lines refused(const std::function<void(Request&)>& change, const ServiceOptions& options = {}) {
  Request request = gateway_request();
  change(request);
  return violations_of(validate(request, "cw1a2b", test_catalogue(), options));
}

const std::string label_form =
    " must be 1 to 63 letters, digits or hyphens, with a letter or digit at both ends";

TEST(GatewayRules, a_whole_request_passes) {
  EXPECT_EQ(refused([](Request&) {}), Lines{});
}

TEST(GatewayRules, an_empty_request_lists_everything_in_field_order) {
  EXPECT_EQ(
      violations_of(validate(Request{}, "cw1a2b", test_catalogue(), {})),
      (Lines{"name: name is required",
             "auth: exactly one of coreWeaveAuth, weightsAndBiasesAuth is required",
             "routing: exactly one of bodyBasedRouting, headerBasedRouting, pathBasedRouting is "
             "required"}));
}

TEST(GatewayRules, a_name_is_a_host_label) {
  EXPECT_EQ(refused([](Request& request) { request.set_name("Edge-1"); }), Lines{});
  EXPECT_EQ(refused([](Request& request) { request.set_name("-edge"); }),
            Lines{"name: name" + label_form});
  EXPECT_EQ(refused([](Request& request) { request.set_name(std::string(64, 'a')); }),
            Lines{"name: name" + label_form});
}

TEST(GatewayRules, a_name_is_limited_by_its_host_name_where_gateways_have_one) {
  ServiceOptions options;
  options.endpoints.domain = "gw.example.com:8443";  // 14 + 6 + 2 dots leave 42
  EXPECT_EQ(refused([](Request& request) { request.set_name(std::string(42, 'a')); }, options),
            Lines{});
  EXPECT_EQ(refused([](Request& request) { request.set_name(std::string(43, 'a')); }, options),
            Lines{"name: name makes a host name of 65 characters; at most 64 are possible"});
  EXPECT_EQ(refused([](Request& request) { request.set_name(std::string(63, 'a')); }), Lines{});
}

TEST(GatewayRules, zones_are_optional_and_judged_one_by_one) {
  EXPECT_EQ(
      refused([](Request& request) {
        request.add_zones("rno2a");
        request.add_zones("mars");
        request.add_zones("US-EAST-99Z");
        request.add_zones("RNO2A");
      }),
      (Lines{"zones: zones must not contain duplicates", "zones[1]: zones[1] must be a valid zone",
             "zones[2]: zones[2] is not an available zone"}));
}

TEST(GatewayRules, custom_wandb_instances_are_refused_unless_allowed) {
  const std::string not_yet =
      " must be empty: custom W&B instances are not available yet, contact support";
  const auto custom = [](Request& request) {
    request.mutable_weights_and_biases_auth()->set_api_key("k");
    request.mutable_weights_and_biases_auth()->set_server_url("https://wandb.example.com");
  };
  EXPECT_EQ(refused([](Request& request) { request.mutable_weights_and_biases_auth(); }), Lines{});
  EXPECT_EQ(refused(custom),
            (Lines{"weightsAndBiasesAuth.apiKey: weightsAndBiasesAuth.apiKey" + not_yet,
                   "weightsAndBiasesAuth.serverUrl: weightsAndBiasesAuth.serverUrl" + not_yet}));
  ServiceOptions options;
  options.allow_custom_wandb_instance = true;
  EXPECT_EQ(refused(custom, options), Lines{});
  EXPECT_EQ(refused(
                [](Request& request) {
                  request.mutable_weights_and_biases_auth()->set_server_url("wandb");
                },
                options),
            Lines{"weightsAndBiasesAuth.serverUrl: weightsAndBiasesAuth.serverUrl must be a valid "
                  "URI"});
  EXPECT_EQ(
      refused([](Request& request) { request.mutable_weights_and_biases_auth()->set_api_key("k"); },
              options),
      Lines{"weightsAndBiasesAuth.serverUrl: weightsAndBiasesAuth.serverUrl is required when "
            "weightsAndBiasesAuth.apiKey is set"});
}

TEST(GatewayRules, additional_names_are_host_names_none_twice) {
  const std::string field = "endpointConfiguration.additionalDns";
  EXPECT_EQ(refused([](Request& request) {
              auto& configuration = *request.mutable_endpoint_configuration();
              configuration.add_additional_dns("llm.example.com");
              configuration.add_additional_dns("https://llm.example.com");
              configuration.add_additional_dns("LLM.example.com");
            }),
            (Lines{field + ": " + field + " must not contain duplicates",
                   field + "[1]: " + field + "[1] must be a valid hostname"}));
  EXPECT_EQ(refused([](Request& request) {
              for (int i = 0; i <= additional_dns_max; ++i) {
                request.mutable_endpoint_configuration()->add_additional_dns(
                    "h" + std::to_string(i) + ".example.com");
              }
            }),
            Lines{field + ": " + field + " must contain at most 100 names"});
}

TEST(GatewayRules, sources_are_ranges_of_addresses_none_twice) {
  const std::string field = "endpointConfiguration.allowedSourceIpRanges";
  const auto refused_ranges = [](const std::vector<std::string>& ranges) {
    return refused([&ranges](Request& request) {
      for (const std::string& range : ranges) {
        request.mutable_endpoint_configuration()->add_allowed_source_ip_ranges(range);
      }
    });
  };
  EXPECT_EQ(refused_ranges({"192.0.2.0/24", "2001:db8::/32", "192.0.2.7", "::1"}), Lines{});
  const std::string problem =
      " must be a range of IP addresses, such as 192.0.2.0/24, or a single one";
  EXPECT_EQ(refused_ranges({"10.0.0.0/33", "::/0", "example.com", "::/0"}),
            (Lines{field + ": " + field + " must not contain duplicates",
                   field + "[0]: " + field + "[0]" + problem,
                   field + "[2]: " + field + "[2]" + problem}));
  std::vector<std::string> many;
  for (int i = 0; i <= source_ip_ranges_max; ++i) many.push_back("10.0.0." + std::to_string(i));
  EXPECT_EQ(refused_ranges(many), Lines{field + ": " + field + " must contain at most 50 ranges"});
}

TEST(GatewayRules, each_routing_has_its_own_rules) {
  EXPECT_EQ(
      refused([](Request& request) { request.mutable_body_based_routing()->clear_api_type(); }),
      Lines{"bodyBasedRouting.apiType: bodyBasedRouting.apiType is required"});
  EXPECT_EQ(refused([](Request& request) {
              request.mutable_body_based_routing()->set_api_type(
                  static_cast<pb::BodyBasedRouting::APIType>(9));
            }),
            Lines{"bodyBasedRouting.apiType: bodyBasedRouting.apiType must be one of: "
                  "API_TYPE_OPENAI"});
  EXPECT_EQ(refused([](Request& request) { request.mutable_path_based_routing(); }), Lines{});

  const std::string header = "headerBasedRouting.headerName: headerBasedRouting.headerName";
  const auto with_header = [](const std::string& name) {
    return
        [name](Request& request) { request.mutable_header_based_routing()->set_header_name(name); };
  };
  EXPECT_EQ(refused(with_header(std::string(100, 'x'))), Lines{});
  EXPECT_EQ(refused(with_header("")), Lines{header + " is required"});
  EXPECT_EQ(refused(with_header(std::string(101, 'x'))),
            Lines{header + " must be at most 100 characters"});
  EXPECT_EQ(refused(with_header("X Model")), Lines{header + " must be a valid HTTP field name"});
}

TEST(GatewayRules, an_update_obeys_the_same_rules_and_needs_an_id) {
  EXPECT_EQ(violations_of(validate(pb::UpdateGatewayRequest{}, "cw1a2b", test_catalogue(), {})),
            (Lines{"id: id is required", "name: name is required",
                   "auth: exactly one of coreWeaveAuth, weightsAndBiasesAuth is required",
                   "routing: exactly one of bodyBasedRouting, headerBasedRouting, "
                   "pathBasedRouting is required"}));
}

}  // namespace
}  // namespace staithe::service
