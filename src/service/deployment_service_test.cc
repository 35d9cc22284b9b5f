#include "service/deployment_service.h"

#include <gtest/gtest.h>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

using model::Status;
using store::Kind;
using namespace std::chrono_literals;

const std::string unknown_id = "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e21";

class DeploymentServiceTest : public ServiceTest {
 protected:
  auto parameters(const std::vector<std::string>& gateway_ids = {}) {
    pb::GetDeploymentParametersRequest request;
    for (const std::string& id : gateway_ids) request.add_gateway_ids(id);
    return call(desk_.deployments, &DeploymentService::parameters, desk_.caller, request);
  }
  static std::vector<std::string> types(const Result<pb::GetDeploymentParametersResponse>& answer) {
    const auto& listed = answer->resource_parameters().instance_types();
    return {listed.begin(), listed.end()};
  }
  static std::vector<std::string> ids(const Result<pb::GetDeploymentParametersResponse>& answer) {
    return {answer->gateway_ids().begin(), answer->gateway_ids().end()};
  }
};

TEST_F(DeploymentServiceTest, every_field_comes_back_as_it_was_written) {
  pb::CreateDeploymentRequest request = deployment_request(a_gateway());
  (*request.mutable_runtime()->mutable_engine_config())["max-model-len"] = "8192";
  (*request.mutable_runtime()->mutable_engine_env())["VLLM_LOGGING_LEVEL"] = "";
  request.mutable_resources()->set_instance_type("GB200-4X");
  request.mutable_model()->set_path("/a//b/");
  auto& autoscaling = *request.mutable_autoscaling();
  autoscaling.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_ON_DEMAND);
  autoscaling.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED);
  autoscaling.set_priority(7);
  autoscaling.set_concurrency(3);
  request.set_disabled(true);

  const auto created = desk_.create(request);
  ASSERT_TRUE(created);
  const pb::DeploymentSpec& spec = created->deployment().spec();
  EXPECT_EQ(spec.name(), request.name());
  EXPECT_EQ(spec.gateway_ids(0), request.gateway_ids(0));
  EXPECT_EQ(spec.runtime().engine_config().at("max-model-len"), "8192");
  EXPECT_EQ(spec.runtime().engine_env().at("VLLM_LOGGING_LEVEL"), "");
  EXPECT_EQ(spec.resources().SerializeAsString(), request.resources().SerializeAsString());
  EXPECT_EQ(spec.model().SerializeAsString(), request.model().SerializeAsString());
  EXPECT_EQ(spec.autoscaling().SerializeAsString(), request.autoscaling().SerializeAsString());
  EXPECT_TRUE(spec.has_traffic());
  EXPECT_TRUE(spec.disabled());
  EXPECT_EQ(spec.organization_id(), "cw1a2b");
  EXPECT_EQ(desk_.get_deployment(spec.id())->deployment().SerializeAsString(),
            created->deployment().SerializeAsString());
}

TEST_F(DeploymentServiceTest, a_created_deployment_is_creating_and_says_what_it_does) {
  const auto created = desk_.create(deployment_request(a_gateway()));
  const pb::DeploymentStatus& status = created->deployment().status();
  EXPECT_EQ(status.status(), pb::STATUS_CREATING);
  EXPECT_EQ(status.conditions(0).type(), "Ready");
  EXPECT_EQ(status.conditions(0).message(), "Starting 1 replica.");
}

TEST_F(DeploymentServiceTest, its_gateways_must_exist) {
  const std::string id = a_gateway();
  pb::CreateDeploymentRequest request = deployment_request(id);
  request.add_gateway_ids(unknown_id);
  const Error error = desk_.create(request).error();
  EXPECT_EQ(error.code, Code::not_found);
  EXPECT_EQ(error.message, "gateway " + unknown_id + " not found");
  ASSERT_EQ(error.resources.size(), 1U);
  EXPECT_EQ(error.resources[0].type, "gateway");

  desk_.caller.principal.organization = "cw9f9f";
  EXPECT_EQ(desk_.create(deployment_request(id)).error().message, "gateway " + id + " not found");
}

TEST_F(DeploymentServiceTest, its_gateways_may_be_creating_but_not_deleting) {
  const std::string id = a_gateway();
  EXPECT_TRUE(desk_.create(deployment_request(id, "first")));
  const std::string other = a_gateway("other");
  ASSERT_TRUE(desk_.remove_gateway(other));
  const Error error = desk_.create(deployment_request(other)).error();
  EXPECT_EQ(error.code, Code::failed_precondition);
  EXPECT_EQ(error.message, "gateway " + other + " is being deleted");
  ASSERT_EQ(error.preconditions.size(), 1U);
  EXPECT_EQ(error.preconditions[0].subject, other);
}

TEST_F(DeploymentServiceTest, every_gateway_must_offer_the_instance_type) {
  const std::string west = a_gateway("west", {"US-WEST-04A"});
  const std::string east = a_gateway("east", {"us-east-04a"});
  pb::CreateDeploymentRequest request = deployment_request(west);
  request.add_gateway_ids(east);
  EXPECT_TRUE(desk_.create(request));
  request.set_name("small");
  request.mutable_resources()->set_instance_type("gd-1xgh200");
  const Error error = desk_.create(request).error();
  EXPECT_EQ(error.code, Code::invalid_argument);
  EXPECT_EQ(error.message,
            "resources.instanceType \"gd-1xgh200\" is not available in the zones of the selected "
            "gateways");
  EXPECT_EQ(error.violations.at(0).field, "resources.instanceType");
  request.mutable_gateway_ids()->RemoveLast();
  EXPECT_TRUE(desk_.create(request));
}

TEST_F(DeploymentServiceTest, a_repeated_create_learns_that_it_worked_whatever_else_changed) {
  const std::string gateway = a_gateway();
  pb::CreateDeploymentRequest request = deployment_request(gateway);
  request.set_id(unknown_id);
  ASSERT_TRUE(desk_.create(request));
  ASSERT_TRUE(desk_.remove_deployment(unknown_id));
  ASSERT_TRUE(desk_.remove_gateway(gateway));
  EXPECT_EQ(desk_.create(request).error().reason, "ID_TAKEN") << "even while it is being deleted";
}

TEST_F(DeploymentServiceTest, a_missing_version_becomes_the_newest_plain_one_if_configured) {
  ServiceOptions options;
  options.default_runtime_version = true;
  Desk desk(store_, clock_, random_, options);
  pb::CreateDeploymentRequest request = deployment_request(a_gateway());
  request.mutable_runtime()->clear_version();
  EXPECT_EQ(desk.create(request)->deployment().spec().runtime().version(), "0.8.5");
}

TEST_F(DeploymentServiceTest, an_update_is_a_full_replacement) {
  const std::string gateway = a_gateway();
  pb::CreateDeploymentRequest request = deployment_request(gateway);
  request.mutable_traffic()->set_weight(50);
  request.mutable_autoscaling()->set_concurrency(4);
  request.set_disabled(true);
  const std::string id = desk_.create(request)->deployment().spec().id();
  set_status(Kind::deployment, id, Status::failed);

  const auto updated = desk_.update(update_of(deployment_request(gateway, "renamed"), id));
  ASSERT_TRUE(updated);
  const pb::Deployment& deployment = updated->deployment();
  EXPECT_EQ(deployment.spec().name(), "renamed");
  EXPECT_EQ(deployment.spec().traffic().weight(), 0U);
  EXPECT_EQ(deployment.spec().autoscaling().concurrency(), 0U);
  EXPECT_FALSE(deployment.spec().disabled());
  EXPECT_EQ(deployment.status().status(), pb::STATUS_UPDATING) << "a failed one may try again";
  EXPECT_TRUE(desk_.create(deployment_request(gateway, "llama-a"))) << "the old name is free";
}

TEST_F(DeploymentServiceTest, an_update_checks_its_references_like_a_create) {
  const std::string id = a_deployment(a_gateway());
  EXPECT_EQ(desk_.update(update_of(deployment_request(unknown_id), id)).error().message,
            "gateway " + unknown_id + " not found");
  const std::string other = a_gateway("other");
  ASSERT_TRUE(desk_.remove_gateway(other));
  EXPECT_EQ(desk_.update(update_of(deployment_request(other), id)).error().message,
            "gateway " + other + " is being deleted");
}

TEST_F(DeploymentServiceTest, an_update_without_a_change_changes_nothing) {
  const std::string gateway = a_gateway();
  const std::string id = a_deployment(gateway);
  const auto before = desk_.get_deployment(id);
  clock_.advance(1s);
  pb::UpdateDeploymentRequest same = update_of(deployment_request(gateway), id);
  EXPECT_EQ(desk_.update(same)->deployment().SerializeAsString(),
            before->deployment().SerializeAsString());
}

TEST_F(DeploymentServiceTest, a_deployment_being_deleted_takes_no_update) {
  const std::string gateway = a_gateway();
  const std::string id = a_deployment(gateway);
  const auto removed = desk_.remove_deployment(id);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->deployment().status().status(), pb::STATUS_DELETING);
  EXPECT_EQ(desk_.get_deployment(id)->deployment().status().status(), pb::STATUS_DELETING);
  EXPECT_EQ(desk_.remove_deployment(id)->SerializeAsString(), removed->SerializeAsString());
  EXPECT_EQ(desk_.update(update_of(deployment_request(gateway), id)).error().reason, "DELETING");
  forget(Kind::deployment, id);
  EXPECT_EQ(desk_.remove_deployment(id).error().message, "deployment " + id + " not found");
}

TEST_F(DeploymentServiceTest, a_list_can_be_cut_to_one_gateway) {
  const std::string east = a_gateway("east");
  const std::string west = a_gateway("west");
  a_deployment(east, "a");
  clock_.advance(1s);
  const std::string second = a_deployment(west, "b");
  const auto listed = [&](const pb::ListDeploymentsRequest& request) {
    return call(desk_.deployments, &DeploymentService::list, desk_.caller, request);
  };
  pb::ListDeploymentsRequest request;
  EXPECT_EQ(listed(request)->items_size(), 2);
  request.set_parent_gateway_id(west);
  ASSERT_EQ(listed(request)->items_size(), 1);
  EXPECT_EQ(listed(request)->items(0).spec().id(), second);
  *request.mutable_updated_after() =
      desk_.get_deployment(second)->deployment().status().updated_at();
  EXPECT_EQ(listed(request)->items_size(), 0) << "both filters must agree";
  request.Clear();
  request.set_parent_gateway_id(unknown_id);
  EXPECT_EQ(listed(request)->items_size(), 0);

  request.set_parent_gateway_id("nope");
  request.mutable_updated_after()->set_seconds(-1'000'000'000'000);
  EXPECT_EQ(
      listed(request).error().violations,
      (std::vector<FieldViolation>{{"parentGatewayId", "parentGatewayId must be a valid UUID"},
                                   {"updatedAfter", "updatedAfter must be a valid timestamp"}}));
}

TEST_F(DeploymentServiceTest, parameters_without_a_gateway_name_engines_and_no_types) {
  const auto answer = parameters();
  EXPECT_EQ(ids(answer), std::vector<std::string>{});
  EXPECT_EQ(types(answer), std::vector<std::string>{});
  const auto& runtime = answer->runtime_parameters();
  EXPECT_EQ(runtime.runtime_versions().size(), 2U);
  EXPECT_EQ(runtime.runtime_versions().at("vllm").versions(0), "0.22.0+crwv.2");
  EXPECT_EQ(runtime.runtime_config_options().at("vllm").allowed_keys(0), "max-model-len");
  EXPECT_EQ(runtime.engine_env_options().at("dynamo-vllm").allowed_names(0), "VLLM_LOGGING_LEVEL");
}

TEST_F(DeploymentServiceTest,
       parameters_are_a_union_without_a_filter_and_an_intersection_with_one) {
  const std::string east = a_gateway("east", {"US-EAST-04A"});
  clock_.advance(1s);
  const std::string west = a_gateway("west", {"US-WEST-04A"});
  EXPECT_EQ(ids(parameters()), (std::vector{east, west}));
  EXPECT_EQ(types(parameters()), (std::vector<std::string>{"gb200-4x", "gd-1xgh200"}));
  EXPECT_EQ(ids(parameters({west, east})), (std::vector{west, east}));
  EXPECT_EQ(types(parameters({west, east})), std::vector<std::string>{"gb200-4x"});
  const std::string reno = a_gateway("reno", {"RNO2A"});
  EXPECT_EQ(types(parameters({west, reno})), std::vector<std::string>{});
  EXPECT_EQ(types(parameters({a_gateway("all")})),
            (std::vector<std::string>{"gb200-4x", "gd-1xgh200"}));
}

TEST_F(DeploymentServiceTest, parameters_refuse_gateways_that_do_not_exist) {
  const std::string gateway = a_gateway();
  EXPECT_EQ(parameters({gateway, unknown_id}).error().message,
            "gateway " + unknown_id + " not found");
  EXPECT_EQ(parameters({"nope"}).error().message, "gatewayIds[0] must be a valid UUID");
  EXPECT_EQ(parameters({gateway, gateway}).error().message,
            "gatewayIds must not contain duplicates");
}

TEST_F(DeploymentServiceTest, a_gateway_being_deleted_offers_nothing) {
  const std::string going = a_gateway();
  ASSERT_TRUE(desk_.remove_gateway(going));
  EXPECT_EQ(ids(parameters()), std::vector<std::string>{});
  EXPECT_EQ(ids(parameters({going})), std::vector{going});
  EXPECT_EQ(types(parameters({going})), std::vector<std::string>{});
}

TEST_F(DeploymentServiceTest, quotas_count_deployments_and_the_replicas_they_may_have) {
  ServiceOptions limited;
  limited.quotas.standard.deployments = 2;
  limited.quotas.standard.replicas = 9;
  Desk desk(store_, clock_, random_, limited);
  const std::string gateway = a_gateway();
  const auto create = [&](const std::string& name) {
    return desk.create(deployment_request(gateway, name));
  };
  const std::string id = create("a")->deployment().spec().id();
  ASSERT_TRUE(create("b"));
  EXPECT_EQ(create("c").error().message,
            "the organization may have at most 2 deployments at a time");
  pb::UpdateDeploymentRequest grow = update_of(deployment_request(gateway, "a"), id);
  grow.mutable_autoscaling()->set_max(5);
  EXPECT_TRUE(desk.update(grow));
  grow.mutable_autoscaling()->set_max(6);
  EXPECT_EQ(desk.update(grow).error().message,
            "the organization may have at most 9 replicas at a time");
}

}  // namespace
}  // namespace staithe::service
