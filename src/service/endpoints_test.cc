#include "service/endpoints.h"

#include <gtest/gtest.h>

namespace staithe::service {
namespace {

model::GatewaySpec spec_of(const std::string& name) {
  model::GatewaySpec spec;
  spec.id = "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e21";
  spec.name = name;
  spec.organization_id = "cw1a2b";
  return spec;
}

TEST(Endpoints, without_a_domain_a_gateway_is_a_path_of_the_server) {
  const EndpointTemplate endpoints{.base_url = "http://127.0.0.1:8080"};
  EXPECT_EQ(gateway_endpoints(spec_of("edge"), endpoints),
            std::vector<std::string>{
                "http://127.0.0.1:8080/gateways/5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e21"});
  EXPECT_EQ(main_host("edge", "cw1a2b", endpoints), "");
}

TEST(Endpoints, with_a_domain_a_gateway_is_a_host_in_lower_case) {
  const EndpointTemplate endpoints{
      .base_url = {}, .scheme = "https", .domain = "gw.example.com:8443"};
  EXPECT_EQ(gateway_endpoints(spec_of("Edge"), endpoints),
            std::vector<std::string>{"https://edge.cw1a2b.gw.example.com:8443"});
  EXPECT_EQ(main_host("Edge", "cw1a2b", endpoints), "edge.cw1a2b.gw.example.com");
}

TEST(Endpoints, additional_names_follow_the_main_one_and_none_comes_twice) {
  const EndpointTemplate endpoints{.base_url = {}, .scheme = "https", .domain = "gw.example.com"};
  model::GatewaySpec spec = spec_of("edge");
  spec.endpoint_configuration = model::EndpointConfiguration{
      .additional_dns = {"b.example.com", "edge.cw1a2b.gw.example.com", "a.example.com"}};
  EXPECT_EQ(gateway_endpoints(spec, endpoints),
            (std::vector<std::string>{"https://edge.cw1a2b.gw.example.com", "https://b.example.com",
                                      "https://a.example.com"}));
}

}  // namespace
}  // namespace staithe::service
