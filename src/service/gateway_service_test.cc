#include "service/gateway_service.h"

#include <gtest/gtest.h>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

using model::Status;
using store::Kind;
using namespace std::chrono_literals;

const std::string unknown_id = "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e21";

class GatewayServiceTest : public ServiceTest {};

TEST_F(GatewayServiceTest, a_created_gateway_answers_with_its_endpoint) {
  const auto created = desk_.create(gateway_request());
  ASSERT_TRUE(created);
  const pb::Gateway& gateway = created->gateway();
  EXPECT_EQ(gateway.status().status(), pb::STATUS_CREATING);
  ASSERT_EQ(gateway.status().endpoints_size(), 1);
  EXPECT_EQ(gateway.status().endpoints(0), "http://127.0.0.1:8080/gateways/" + gateway.spec().id());
  EXPECT_EQ(gateway.status().conditions(0).message(), "Setting up the endpoint.");
  EXPECT_EQ(desk_.get_gateway(gateway.spec().id())->gateway().SerializeAsString(),
            gateway.SerializeAsString());
}

TEST_F(GatewayServiceTest, every_field_comes_back_as_it_was_written) {
  pb::CreateGatewayRequest request = gateway_request("Edge");
  request.add_zones("us-west-04a");
  request.add_zones("RNO2A");
  request.mutable_weights_and_biases_auth()->set_enable_usage_reports(true);
  request.mutable_header_based_routing()->set_header_name("X-Model");
  request.mutable_endpoint_configuration()->add_additional_dns("LLM.example.com");
  const pb::GatewaySpec spec = desk_.create(request)->gateway().spec();
  EXPECT_EQ(spec.name(), "Edge");
  EXPECT_EQ(spec.zones(0), "us-west-04a");
  EXPECT_EQ(spec.zones(1), "RNO2A");
  EXPECT_TRUE(spec.weights_and_biases_auth().enable_usage_reports());
  EXPECT_FALSE(spec.weights_and_biases_auth().enable_rate_limiting());
  EXPECT_EQ(spec.header_based_routing().header_name(), "X-Model");
  EXPECT_EQ(spec.endpoint_configuration().additional_dns(0), "LLM.example.com");
  EXPECT_EQ(spec.organization_id(), "cw1a2b");
}

TEST_F(GatewayServiceTest, an_endpoint_configuration_that_was_not_sent_does_not_come_back) {
  pb::CreateGatewayRequest request = gateway_request();
  EXPECT_FALSE(desk_.create(request)->gateway().spec().has_endpoint_configuration());
  request.set_name("other");
  request.mutable_endpoint_configuration();
  EXPECT_TRUE(desk_.create(request)->gateway().spec().has_endpoint_configuration());
}

TEST_F(GatewayServiceTest, an_api_key_is_kept_and_never_shown) {
  ServiceOptions options;
  options.allow_custom_wandb_instance = true;
  Desk desk(store_, clock_, random_, options);
  pb::CreateGatewayRequest request = gateway_request();
  request.mutable_weights_and_biases_auth()->set_api_key("secret");
  request.mutable_weights_and_biases_auth()->set_server_url("https://wandb.example.com");
  const pb::GatewaySpec spec = desk.create(request)->gateway().spec();
  EXPECT_EQ(spec.weights_and_biases_auth().api_key(), "");
  EXPECT_EQ(spec.weights_and_biases_auth().server_url(), "https://wandb.example.com");
  const auto stored = store::get_gateway(store_, spec.id());
  EXPECT_EQ(std::get<model::WeightsAndBiasesAuth>((*stored)->value.spec.auth).api_key, "secret");
}

TEST_F(GatewayServiceTest, names_are_taken_in_any_letter_case) {
  const std::string holder = a_gateway("edge");
  const Error error = desk_.create(gateway_request("EDGE")).error();
  EXPECT_EQ(error.code, Code::already_exists);
  EXPECT_EQ(error.message, "a gateway named \"EDGE\" already exists");
  ASSERT_EQ(error.resources.size(), 1U);
  EXPECT_EQ(error.resources[0].type, "gateway");
  EXPECT_EQ(error.resources[0].name, holder);
}

TEST_F(GatewayServiceTest, a_dns_name_belongs_to_one_gateway_of_all_organizations) {
  pb::CreateGatewayRequest request = gateway_request();
  request.mutable_endpoint_configuration()->add_additional_dns("llm.example.com");
  const std::string holder = desk_.create(request)->gateway().spec().id();

  desk_.caller.principal.organization = "cw9f9f";
  request.mutable_endpoint_configuration()->set_additional_dns(0, "LLM.example.com");
  const Error error = desk_.create(request).error();
  EXPECT_EQ(error.code, Code::already_exists);
  EXPECT_EQ(error.reason, "DNS_NAME_TAKEN");
  EXPECT_EQ(error.message, "a gateway with the DNS name \"llm.example.com\" already exists");
  ASSERT_EQ(error.resources.size(), 1U);
  EXPECT_EQ(error.resources[0].name, "llm.example.com") << "not the id of a stranger's gateway";

  desk_.caller.principal.organization = "cw1a2b";
  ASSERT_TRUE(desk_.update(update_of(gateway_request(), holder)));
  desk_.caller.principal.organization = "cw9f9f";
  EXPECT_TRUE(desk_.create(request)) << "the block was removed, so the name is free";
}

TEST_F(GatewayServiceTest, a_main_host_name_cannot_be_taken_as_an_additional_one) {
  ServiceOptions options;
  options.endpoints = {.base_url = {}, .scheme = "https", .domain = "gw.example.com"};
  Desk desk(store_, clock_, random_, options);
  ASSERT_TRUE(desk.create(gateway_request("edge")));
  pb::CreateGatewayRequest request = gateway_request("thief");
  request.mutable_endpoint_configuration()->add_additional_dns("edge.cw1a2b.gw.example.com");
  EXPECT_EQ(desk.create(request).error().reason, "DNS_NAME_TAKEN");
}

TEST_F(GatewayServiceTest, an_update_replaces_everything_and_frees_the_old_name) {
  pb::CreateGatewayRequest request = gateway_request();
  request.mutable_endpoint_configuration()->add_additional_dns("llm.example.com");
  request.add_zones("US-WEST-04A");
  const std::string id = desk_.create(request)->gateway().spec().id();
  set_status(Kind::gateway, id, Status::ready);

  pb::CreateGatewayRequest bare = gateway_request("renamed");
  bare.mutable_path_based_routing();
  const auto updated = desk_.update(update_of(bare, id));
  ASSERT_TRUE(updated);
  const pb::Gateway& gateway = updated->gateway();
  EXPECT_EQ(gateway.spec().name(), "renamed");
  EXPECT_EQ(gateway.spec().zones_size(), 0);
  EXPECT_FALSE(gateway.spec().has_endpoint_configuration());
  EXPECT_TRUE(gateway.spec().has_path_based_routing());
  EXPECT_EQ(gateway.status().endpoints_size(), 1);
  EXPECT_EQ(gateway.status().status(), pb::STATUS_UPDATING);
  EXPECT_TRUE(desk_.create(gateway_request("edge")));
  EXPECT_EQ(desk_.create(gateway_request("renamed")).error().reason, "NAME_TAKEN");
}

TEST_F(GatewayServiceTest, an_update_to_a_taken_name_changes_nothing) {
  a_gateway("edge");
  const std::string id = a_gateway("other");
  const auto before = desk_.get_gateway(id);
  EXPECT_EQ(desk_.update(update_of(gateway_request("edge"), id)).error().reason, "NAME_TAKEN");
  EXPECT_EQ(desk_.get_gateway(id)->SerializeAsString(), before->SerializeAsString());
}

TEST_F(GatewayServiceTest, an_update_without_a_change_keeps_updated_at) {
  const std::string id = a_gateway();
  set_status(Kind::gateway, id, Status::ready);
  const auto before = desk_.get_gateway(id);
  clock_.advance(1s);
  EXPECT_EQ(desk_.update(update_of(gateway_request(), id))->gateway().SerializeAsString(),
            before->gateway().SerializeAsString());
}

TEST_F(GatewayServiceTest, zones_that_a_deployment_needs_cannot_be_taken_away) {
  const std::string id = a_gateway("edge", {"US-EAST-04A", "US-WEST-04A"});
  const std::string deployment = a_deployment(id);
  pb::CreateGatewayRequest narrow = gateway_request();
  narrow.add_zones("US-EAST-04A");
  EXPECT_TRUE(desk_.update(update_of(narrow, id))) << "the type is offered in the other zone";

  narrow.set_zones(0, "RNO2A");
  const Error error = desk_.update(update_of(narrow, id)).error();
  EXPECT_EQ(error.code, Code::failed_precondition);
  EXPECT_EQ(error.reason, "GATEWAY_ZONES_IN_USE");
  ASSERT_EQ(error.preconditions.size(), 1U);
  EXPECT_EQ(error.preconditions[0].type, "GATEWAY_ZONES_IN_USE");
  EXPECT_EQ(error.preconditions[0].subject, deployment);
  EXPECT_EQ(desk_.get_gateway(id)->gateway().spec().zones(0), "US-EAST-04A");

  ASSERT_TRUE(desk_.remove_deployment(deployment));
  EXPECT_TRUE(desk_.update(update_of(narrow, id)));
}

TEST_F(GatewayServiceTest, a_gateway_in_use_is_not_deleted_and_does_not_change) {
  const std::string id = a_gateway();
  const std::string deployment = a_deployment(id);
  set_status(Kind::gateway, id, Status::ready);
  const auto before = desk_.get_gateway(id);

  const Error error = desk_.remove_gateway(id).error();
  EXPECT_EQ(error.code, Code::failed_precondition);
  EXPECT_EQ(error.reason, "GATEWAY_IN_USE");
  EXPECT_EQ(error.message, "gateway " + id + " is in use by 1 deployment");
  ASSERT_EQ(error.preconditions.size(), 1U);
  EXPECT_EQ(error.preconditions[0].type, "GATEWAY_IN_USE");
  EXPECT_EQ(error.preconditions[0].subject, deployment);
  EXPECT_EQ(desk_.get_gateway(id)->SerializeAsString(), before->SerializeAsString());

  ASSERT_TRUE(desk_.remove_deployment(deployment));
  const auto removed = desk_.remove_gateway(id);
  ASSERT_TRUE(removed) << "its deployment is on its way out";
  EXPECT_EQ(removed->gateway().status().status(), pb::STATUS_DELETING);
  EXPECT_EQ(desk_.remove_gateway(id)->SerializeAsString(), removed->SerializeAsString());
  EXPECT_EQ(desk_.update(update_of(gateway_request(), id)).error().message,
            "gateway " + id + " is being deleted");
}

TEST_F(GatewayServiceTest, a_deployment_can_join_after_a_deletion_that_was_refused) {
  const std::string id = a_gateway();
  const std::string deployment = a_deployment(id);
  ASSERT_FALSE(desk_.remove_gateway(id));
  EXPECT_TRUE(desk_.create(deployment_request(id, "llama-b")));
}

TEST_F(GatewayServiceTest, unknown_gateways_are_not_found) {
  EXPECT_EQ(desk_.get_gateway(unknown_id).error().message, "gateway " + unknown_id + " not found");
  EXPECT_EQ(desk_.remove_gateway(unknown_id).error().code, Code::not_found);
  EXPECT_EQ(desk_.update(update_of(gateway_request(), unknown_id)).error().code, Code::not_found);
}

TEST_F(GatewayServiceTest, parameters_are_all_zones_those_of_claims_included) {
  const auto answer = call(desk_.gateways, &GatewayService::parameters, desk_.caller,
                           pb::GetGatewayParametersRequest{});
  EXPECT_EQ(std::vector<std::string>(answer->zones().begin(), answer->zones().end()),
            (std::vector<std::string>{"US-EAST-04A", "US-WEST-04A", "RNO2A"}));
}

TEST_F(GatewayServiceTest, a_list_holds_the_gateways_of_the_organization) {
  const std::string first = a_gateway("b");
  clock_.advance(1s);
  a_gateway("a");
  pb::ListGatewaysRequest request;
  EXPECT_EQ(
      call(desk_.gateways, &GatewayService::list, desk_.caller, request)->items(0).spec().id(),
      first);
  *request.mutable_updated_after() = desk_.get_gateway(first)->gateway().status().updated_at();
  EXPECT_EQ(call(desk_.gateways, &GatewayService::list, desk_.caller, request)->items_size(), 1);
  const Caller stranger{.principal = {.organization = "cw9f9f"}};
  EXPECT_EQ(call(desk_.gateways, &GatewayService::list, stranger, {})->items_size(), 0);
}

TEST_F(GatewayServiceTest, a_quota_limits_the_gateways) {
  ServiceOptions limited;
  limited.quotas.standard.gateways = 1;
  Desk desk(store_, clock_, random_, limited);
  ASSERT_TRUE(desk.create(gateway_request("a")));
  EXPECT_EQ(desk.create(gateway_request("b")).error().message,
            "the organization may have at most 1 gateways at a time");
}

TEST_F(GatewayServiceTest, endpoints_follow_the_server_to_its_new_address) {
  const std::string id = a_gateway();
  clock_.advance(1s);
  ServiceOptions moved;
  moved.endpoints.base_url = "http://127.0.0.1:9090";
  Desk desk(store_, clock_, random_, moved);
  ASSERT_TRUE(desk.gateways.refresh_endpoints());
  const auto after = desk.get_gateway(id);
  EXPECT_EQ(after->gateway().status().endpoints(0), "http://127.0.0.1:9090/gateways/" + id);
  EXPECT_GT(after->gateway().status().updated_at().seconds(),
            after->gateway().status().created_at().seconds());

  ASSERT_TRUE(desk.gateways.refresh_endpoints());
  EXPECT_EQ(desk.get_gateway(id)->SerializeAsString(), after->SerializeAsString());
}

}  // namespace
}  // namespace staithe::service
