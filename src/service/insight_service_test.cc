#include "service/insight_service.h"

#include <gtest/gtest.h>

#include <optional>

#include "service/no_control_plane.h"
#include "service/test_setting.h"

namespace staithe::service {
namespace {

namespace v1 = staithe::v1;

// Says what the test wants and remembers what it was asked.
class ScriptedControlPlane final : public ControlPlane {
 public:
  void explain(const model::Id& deployment_id, Done<model::Explanation> done) override {
    explained = deployment_id;
    done(explanation);
  }
  void plan(model::Deployment wanted, Done<model::PlanPreview> done) override {
    deployment = std::move(wanted);
    done(preview);
  }
  void plan(model::CapacityClaim wanted, Done<model::PlanPreview> done) override {
    claim = std::move(wanted);
    done(preview);
  }

  model::Explanation explanation;
  model::PlanPreview preview;
  model::Id explained;
  std::optional<model::Deployment> deployment;
  std::optional<model::CapacityClaim> claim;
};

class InsightServiceTest : public ServiceTest {
 protected:
  ScriptedControlPlane control_plane_;
  InsightService insight_{store_, desk_.deployments, desk_.claims, control_plane_};

  auto explain(const std::string& id) {
    return call(insight_, &InsightService::explain, desk_.caller,
                by_id<v1::ExplainDeploymentRequest>(id));
  }
  auto plan(const v1::PlanDeploymentRequest& request) {
    return call(insight_, &InsightService::plan_deployment, desk_.caller, request);
  }
  auto plan(const v1::PlanCapacityClaimRequest& request) {
    return call(insight_, &InsightService::plan_claim, desk_.caller, request);
  }
  std::size_t count_records() {
    std::size_t count = 0;
    for (const auto kind : {store::Kind::claim, store::Kind::deployment, store::Kind::gateway}) {
      count += store_.list(kind)->size();
    }
    return count;
  }
};

TEST_F(InsightServiceTest, an_explanation_carries_every_word_of_the_control_plane) {
  const std::string id = a_deployment(a_gateway());
  model::Explanation& said = control_plane_.explanation;
  said.deployment_id = id;
  said.summary = "one of two is ready";
  said.status = model::Status::updating;
  said.wanted = 2;
  said.min = 1;
  said.max = 4;
  said.wanted_reason = "20 requests for 16 each";
  said.demand = 20.5;
  said.target = 16;
  said.replicas.push_back({.id = "r0",
                           .is_current = false,
                           .is_draining = true,
                           .nodes = {"n1", "n2"},
                           .zone = "RNO2A",
                           .capacity_class = model::CapacityClass::reserved,
                           .claim_id = "c1",
                           .phase = model::ReplicaPhase::ready,
                           .since = clock_.now(),
                           .restarts = 3,
                           .reason = "the first class that has room"});
  said.unplaced = 1;
  said.unplaced_reason = "no node has 8 free GPUs";
  said.shortages.push_back(
      {.zone = "RNO2A", .needed = 8, .free = 5, .missing = 3, .reason = "too scattered"});
  said.served_before.push_back(
      {.deployment_id = "d9", .name = "vip", .priority = 900, .waiting_replicas = 2});
  said.roll_out = model::RollOut::one_by_one;
  said.old_replicas = 1;
  said.roll_out_reason = "no room";
  said.next_look = clock_.now();

  const auto answer = explain(id);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(control_plane_.explained, id);
  const v1::DeploymentExplanation& shown = answer->explanation();
  EXPECT_EQ(shown.deployment_id(), id);
  EXPECT_EQ(shown.summary(), said.summary);
  EXPECT_EQ(shown.status(), pb::STATUS_UPDATING);
  EXPECT_EQ(shown.wanted(), 2u);
  EXPECT_EQ(shown.min(), 1u);
  EXPECT_EQ(shown.max(), 4u);
  EXPECT_EQ(shown.wanted_reason(), said.wanted_reason);
  EXPECT_TRUE(shown.has_demand());
  EXPECT_EQ(shown.demand(), 20.5);
  EXPECT_EQ(shown.target(), 16u);
  ASSERT_EQ(shown.replicas_size(), 1);
  const auto& replica = shown.replicas(0);
  EXPECT_EQ(replica.id(), "r0");
  EXPECT_EQ(replica.phase(), v1::REPLICA_PHASE_READY);
  EXPECT_EQ(replica.since().seconds(),
            std::chrono::floor<std::chrono::seconds>(clock_.now()).time_since_epoch().count());
  EXPECT_FALSE(replica.is_current());
  EXPECT_TRUE(replica.is_draining());
  EXPECT_EQ(replica.node_ids(1), "n2");
  EXPECT_EQ(replica.zone(), "RNO2A");
  EXPECT_EQ(replica.capacity_class(), pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED);
  EXPECT_EQ(replica.claim_id(), "c1");
  EXPECT_EQ(replica.restarts(), 3u);
  EXPECT_EQ(replica.reason(), said.replicas[0].reason);
  EXPECT_EQ(shown.unplaced(), 1u);
  EXPECT_EQ(shown.unplaced_reason(), said.unplaced_reason);
  EXPECT_EQ(shown.shortages(0).zone(), "RNO2A");
  EXPECT_EQ(shown.shortages(0).needed(), 8u);
  EXPECT_EQ(shown.shortages(0).free(), 5u);
  EXPECT_EQ(shown.shortages(0).missing(), 3u);
  EXPECT_EQ(shown.shortages(0).reason(), "too scattered");
  EXPECT_EQ(shown.served_before(0).deployment_id(), "d9");
  EXPECT_EQ(shown.served_before(0).name(), "vip");
  EXPECT_EQ(shown.served_before(0).priority(), 900u);
  EXPECT_EQ(shown.served_before(0).waiting_replicas(), 2u);
  EXPECT_EQ(shown.roll_out(), v1::ROLL_OUT_ONE_BY_ONE);
  EXPECT_EQ(shown.old_replicas(), 1u);
  EXPECT_EQ(shown.roll_out_reason(), "no room");
  EXPECT_TRUE(shown.has_next_look());
}

TEST_F(InsightServiceTest, a_demand_that_nobody_knows_is_absent_and_not_zero) {
  EXPECT_FALSE(explain(a_deployment(a_gateway()))->explanation().has_demand());
}

TEST_F(InsightServiceTest, another_organizations_deployment_is_not_there) {
  const std::string id = a_deployment(a_gateway());
  Caller stranger = desk_.caller;
  stranger.principal.organization = "cw9f9f";
  const auto answer =
      call(insight_, &InsightService::explain, stranger, by_id<v1::ExplainDeploymentRequest>(id));
  EXPECT_EQ(answer.error().code, Code::not_found);
  EXPECT_EQ(control_plane_.explained, "");
}

TEST_F(InsightServiceTest, a_plan_carries_every_word_of_the_control_plane) {
  model::PlanPreview& said = control_plane_.preview;
  said.summary = "two replicas are replaced";
  said.is_without_effect = true;
  said.restarts_replicas = true;
  said.replicas.push_back({.change = model::PlannedChange::replace,
                           .id = "r1",
                           .replaced_id = "r0",
                           .nodes = {"n1"},
                           .zone = "RNO2A",
                           .capacity_class = model::CapacityClass::on_demand,
                           .claim_id = "c1",
                           .reason = "the runtime changes"});
  said.zones.push_back(
      {.zone = "RNO2A", .kept = {"n1"}, .taken = {"n2", "n3"}, .released = {"n4"}});
  said.pending = 2;
  said.pending_reason = "the zones are full";
  said.shortages.push_back({.zone = "RNO2A", .needed = 2, .free = 0, .missing = 2, .reason = "x"});
  v1::PlanDeploymentRequest request;
  *request.mutable_create() = deployment_request(a_gateway());
  const std::size_t count = count_records();
  const auto answer = plan(request);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(count_records(), count) << "nothing is written";
  const v1::Plan& shown = answer->plan();
  EXPECT_EQ(shown.summary(), said.summary);
  EXPECT_TRUE(shown.is_without_effect());
  EXPECT_TRUE(shown.restarts_replicas());
  ASSERT_EQ(shown.replicas_size(), 1);
  EXPECT_EQ(shown.replicas(0).change(), v1::PLANNED_CHANGE_REPLACE);
  EXPECT_EQ(shown.replicas(0).id(), "r1");
  EXPECT_EQ(shown.replicas(0).replaced_id(), "r0");
  EXPECT_EQ(shown.replicas(0).node_ids(0), "n1");
  EXPECT_EQ(shown.replicas(0).zone(), "RNO2A");
  EXPECT_EQ(shown.replicas(0).capacity_class(),
            pb::DeploymentAutoscaling::CAPACITY_CLASS_ON_DEMAND);
  EXPECT_EQ(shown.replicas(0).claim_id(), "c1");
  EXPECT_EQ(shown.replicas(0).reason(), "the runtime changes");
  ASSERT_EQ(shown.zones_size(), 1);
  EXPECT_EQ(shown.zones(0).zone(), "RNO2A");
  EXPECT_EQ(shown.zones(0).kept(0), "n1");
  EXPECT_EQ(shown.zones(0).taken(1), "n3");
  EXPECT_EQ(shown.zones(0).released(0), "n4");
  EXPECT_EQ(shown.pending(), 2u);
  EXPECT_EQ(shown.pending_reason(), said.pending_reason);
  EXPECT_EQ(shown.shortages(0).missing(), 2u);
}

TEST_F(InsightServiceTest, a_planned_creation_is_what_create_would_store) {
  v1::PlanDeploymentRequest request;
  *request.mutable_create() = deployment_request(a_gateway());
  ASSERT_TRUE(plan(request).has_value());
  const auto created = desk_.create(request.create());
  ASSERT_TRUE(created.has_value());
  auto stored = (*store::get_deployment(store_, created->deployment().spec().id()))->value;
  ASSERT_TRUE(control_plane_.deployment.has_value());
  EXPECT_NE(control_plane_.deployment->spec.id, "") << "each has an id of its own";
  stored.spec.id = control_plane_.deployment->spec.id;
  EXPECT_EQ(*control_plane_.deployment, stored);
}

TEST_F(InsightServiceTest, a_planned_update_keeps_the_id_and_takes_the_new_spec) {
  const auto create = deployment_request(a_gateway());
  const std::string id = desk_.create(create)->deployment().spec().id();
  v1::PlanDeploymentRequest request;
  *request.mutable_update() = update_of(create, id);
  request.mutable_update()->mutable_autoscaling()->set_min(3);
  ASSERT_TRUE(plan(request).has_value());
  EXPECT_EQ(control_plane_.deployment->spec.id, id);
  EXPECT_EQ(control_plane_.deployment->spec.autoscaling.min, 3u);
  EXPECT_EQ((*store::get_deployment(store_, id))->value.spec.autoscaling.min, 1u);
}

TEST_F(InsightServiceTest, a_plan_is_refused_with_the_error_of_the_change_itself) {
  const std::string gateway = a_gateway();
  const std::string other = a_deployment(gateway, "other");
  const auto expect_same = [this](const v1::PlanDeploymentRequest& request) {
    control_plane_.deployment.reset();
    const auto planned = plan(request);
    ASSERT_FALSE(planned.has_value());
    EXPECT_FALSE(control_plane_.deployment.has_value());
    const Error refused = request.has_create() ? desk_.create(request.create()).error()
                                               : desk_.update(request.update()).error();
    EXPECT_EQ(planned.error(), refused);
  };
  v1::PlanDeploymentRequest request;
  *request.mutable_create() = deployment_request(gateway, "other");
  expect_same(request);
  request.mutable_create()->set_name("free");
  request.mutable_create()->mutable_resources()->set_gpu_count(3);
  expect_same(request);
  request.mutable_create()->mutable_resources()->set_gpu_count(1);
  request.mutable_create()->set_gateway_ids(0, "0a0a0a0a-0000-4000-8000-000000000001");
  expect_same(request);
  const auto create = deployment_request(gateway, "mine");
  const std::string id = desk_.create(create)->deployment().spec().id();
  *request.mutable_update() = update_of(create, id);
  request.mutable_update()->set_name("OTHER");
  expect_same(request);
  ASSERT_TRUE(desk_.remove_deployment(id).has_value());
  request.mutable_update()->set_name("mine");
  expect_same(request);
}

TEST_F(InsightServiceTest, a_plan_of_a_claim_is_judged_as_the_claim_would_be) {
  v1::PlanCapacityClaimRequest request;
  *request.mutable_create() = claim_request("team");
  ASSERT_TRUE(plan(request).has_value());
  EXPECT_EQ(control_plane_.claim->spec.resources.instance_count, 2u);
  EXPECT_EQ(control_plane_.claim->spec.organization_id, "cw1a2b");
  ASSERT_TRUE(desk_.create(request.create()).has_value());
  EXPECT_EQ(plan(request).error(), desk_.create(request.create()).error());
}

TEST_F(InsightServiceTest, a_control_plane_that_cannot_tell_is_unavailable) {
  NoControlPlane silent;
  InsightService insight(store_, desk_.deployments, desk_.claims, silent);
  v1::PlanCapacityClaimRequest request;
  *request.mutable_create() = claim_request("team");
  const auto answer = call(insight, &InsightService::plan_claim, desk_.caller, request);
  EXPECT_EQ(answer.error().code, Code::unavailable);
  EXPECT_EQ(answer.error().reason, errors::reason_control_plane_unavailable);
}

}  // namespace
}  // namespace staithe::service
