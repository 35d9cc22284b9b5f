#include "reconcile/loop.h"

#include <gtest/gtest.h>

#include "reconcile/testing/rig.h"

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::claim_spec;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

using Statuses = std::vector<model::Status>;

class ReconcileTest : public ::testing::Test {
 protected:
  ~ReconcileTest() override {
    for (const std::string& fault : rig_.witness.faults()) ADD_FAILURE() << fault;
  }

  void deploy(model::DeploymentSpec spec) {
    const model::Id id = spec.id;
    rig_.create(std::move(spec));
    ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is(id, ready); }));
  }

  Rig rig_;
};

// ---- claims

TEST_F(ReconcileTest, a_claim_gets_its_nodes_with_one_write) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.add_node(node("n2"));
  rig_.create(claim_spec("c1", 2));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 1s));
  const auto claim = rig_.claim("c1");
  EXPECT_EQ(claim->status.allocated_instances, 2U);
  EXPECT_EQ(claim->status.pending_instances, 0U);
  EXPECT_EQ(Rig::condition(claim, "Allocated"), "True/AllAllocated");
  EXPECT_EQ(Rig::condition(claim, "Ready"), "True/AsExpected");
  rig_.run_for(2min);
  EXPECT_EQ(rig_.witness.write_count("c1"), 2U) << "created, then ready, and nothing since (P04)";
}

TEST_F(ReconcileTest, P10_a_claim_without_room_stays_creating_and_gets_what_comes) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 2));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c1", creating));
  EXPECT_EQ(Rig::condition(rig_.claim("c1"), "Allocated", "ZONE-A"), "False/Partial");
  EXPECT_EQ(Rig::message(rig_.claim("c1"), "Allocated", "ZONE-A"), "needed 2, free 1, missing 1");
  rig_.driver.add_node(node("n2"));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 10s));
  EXPECT_EQ(rig_.witness.seen("c1"), (Statuses{creating, ready}));
}

TEST_F(ReconcileTest, K01_of_two_claims_for_the_last_node_the_older_gets_it) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c2", 1));
  rig_.create(claim_spec("c1", 1));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c2", ready));
  EXPECT_TRUE(rig_.claim_is("c1", creating));
  EXPECT_EQ(rig_.claim("c1")->status.pending_instances, 1U);
  rig_.erase_claim("c2");
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 1s));
  EXPECT_FALSE(rig_.claim("c2").has_value());
}

TEST_F(ReconcileTest, a_claim_that_grows_without_room_is_updating_and_loses_nothing) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  rig_.update_claim("c1", [](auto& spec) { spec.resources.instance_count = 2; });
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c1", updating));
  EXPECT_EQ(rig_.claim("c1")->status.allocated_instances, 1U);
  rig_.driver.add_node(node("n2"));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
}

TEST_F(ReconcileTest, a_ready_claim_whose_node_is_gone_is_in_error_until_it_has_another) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  rig_.driver.remove_node("n1");
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", error); }));
  EXPECT_EQ(rig_.claim("c1")->status.pending_instances, 1U);
  rig_.driver.add_node(node("n2"));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  EXPECT_EQ(rig_.claim("c1")->status.nodes, (std::vector<model::Id>{"n2"}));
  rig_.run_for(30s);
  EXPECT_EQ(store::list_nodes(rig_.store)->size(), 1U) << "nothing names the lost node any more";
}

TEST_F(ReconcileTest, K02_deleting_a_claim_in_use_moves_its_replicas_and_frees_its_nodes) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  deploy(deployment_spec("d1"));
  EXPECT_EQ(rig_.replicas("d1")[0].claim_id, "c1");
  rig_.driver.add_node(node("n2"));
  rig_.run_for(10s);
  const model::Id first = rig_.replicas("d1")[0].id;
  rig_.busy.insert(first);
  rig_.erase_claim("c1");
  rig_.run_for(5s);
  EXPECT_TRUE(rig_.claim_is("c1", deleting)) << "a request is still running inside";
  EXPECT_EQ(rig_.routable_count("d1"), 1U) << "on the other node";
  rig_.busy.clear();
  ASSERT_TRUE(rig_.run_until([&] { return !rig_.claim("c1").has_value(); }, 1s));
  EXPECT_EQ(rig_.replicas("d1").size(), 1U);
  EXPECT_EQ(rig_.replicas("d1")[0].node_id, "n2");
  EXPECT_TRUE(rig_.deployment_is("d1", ready));
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, ready}));
}

TEST_F(ReconcileTest, K04_a_claim_takes_no_node_that_is_used_on_demand) {
  rig_.driver.add_node(node("n1"));
  rig_.create(gateway_spec("g1"));
  deploy(deployment_spec("d1"));
  rig_.create(claim_spec("c1", 1));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c1", creating));
  rig_.erase_deployment("d1");
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 1s));
}

// ---- gateways

TEST_F(ReconcileTest, a_gateway_is_ready_at_once) {
  rig_.create(gateway_spec("g1"));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.gateway_is("g1", ready); }, 10ms));
  EXPECT_EQ(Rig::condition(rig_.gateway("g1"), "EndpointReady"), "True/Listening");
  EXPECT_EQ(Rig::condition(rig_.gateway("g1"), "AuthReady"), "True/Configured");
  rig_.run_for(2min);
  EXPECT_EQ(rig_.witness.write_count("g1"), 2U);
}

TEST_F(ReconcileTest, a_gateway_whose_keys_nobody_can_verify_is_ready_and_says_so) {
  auto spec = gateway_spec("g1");
  spec.auth = model::WeightsAndBiasesAuth{};
  rig_.create(spec);
  ASSERT_TRUE(rig_.run_until([&] { return rig_.gateway_is("g1", ready); }, 10ms));
  EXPECT_EQ(Rig::condition(rig_.gateway("g1"), "AuthReady"), "False/ProviderUnreachable");
}

TEST_F(ReconcileTest, a_gateway_goes_after_the_last_deployment_that_names_it) {
  rig_.driver.add_node(node("n1"));
  rig_.create(gateway_spec("g1"));
  deploy(deployment_spec("d1"));
  rig_.busy.insert(rig_.replicas("d1")[0].id);
  rig_.erase_deployment("d1");
  rig_.erase_gateway("g1");
  rig_.run_for(5s);
  EXPECT_TRUE(rig_.gateway_is("g1", deleting));
  rig_.busy.clear();
  ASSERT_TRUE(rig_.run_until([&] { return !rig_.gateway("g1").has_value(); }, 1s));
  EXPECT_FALSE(rig_.deployment("d1").has_value());
}

// ---- deployments

TEST_F(ReconcileTest, a_deployment_is_ready_when_min_replicas_answered_and_not_before) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.script({.start_delay = 3s});
  rig_.create(deployment_spec("d1", 2));
  rig_.run_for(2s);
  EXPECT_TRUE(rig_.deployment_is("d1", creating));
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ReplicasReady"), "False/Starting");
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Scheduled"), "True/ReplicasPlaced");
  EXPECT_EQ(rig_.routable_count("d1"), 0U);
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 2s));
  EXPECT_EQ(rig_.routable_count("d1"), 2U);
  EXPECT_EQ(rig_.serving["d1"][0].concurrency, 16U);
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Ready"), "True/AsExpected");
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ModelAvailable"), "True/Found");
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ReplicasReady"), "True/MinimumAvailable");
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Routable"), "True/Serving");
  const std::size_t writes = rig_.witness.write_count("d1");
  rig_.run_for(2min);
  EXPECT_EQ(rig_.witness.write_count("d1"), writes) << "idle means silent (P04)";
}

TEST_F(ReconcileTest, a_simulated_engine_settles_without_waiting_for_any_poll) {
  rig_.driver.add_node(node("n1"));
  rig_.create(deployment_spec("d1", 2));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 0s));
  rig_.erase_deployment("d1");
  EXPECT_TRUE(rig_.run_until([&] { return !rig_.deployment("d1").has_value(); }, 10ms));
  EXPECT_TRUE(rig_.engines().empty());
  EXPECT_TRUE(rig_.replicas("d1").empty());
}

TEST_F(ReconcileTest, P10_a_deployment_without_room_stays_creating_until_there_is_some) {
  rig_.driver.add_node(node("n1", 1));
  deploy(deployment_spec("d1"));
  rig_.create(deployment_spec("d2"));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.deployment_is("d2", creating));
  EXPECT_EQ(Rig::condition(rig_.deployment("d2"), "Scheduled"), "False/InsufficientCapacity");
  EXPECT_EQ(Rig::message(rig_.deployment("d2"), "Scheduled", "ZONE-A"),
            "needed 1, free 0, missing 1 GPUs");
  rig_.erase_deployment("d1");
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d2", ready); }, 1s));
}

TEST_F(ReconcileTest, X11_the_higher_priority_gets_the_slot_that_becomes_free) {
  rig_.driver.add_node(node("n1", 1));
  deploy(deployment_spec("d1"));
  rig_.create(deployment_spec("low"));
  auto high = deployment_spec("high");
  high.autoscaling.priority = 900;
  rig_.create(high);
  rig_.run_for(1s);
  rig_.erase_deployment("d1");
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("high", ready); }, 1s));
  EXPECT_TRUE(rig_.deployment_is("low", creating));
}

TEST_F(ReconcileTest, reserved_only_waits_for_a_claim) {
  rig_.driver.add_node(node("n1"));
  auto spec = deployment_spec("d1");
  spec.autoscaling.capacity_classes = {model::CapacityClass::reserved};
  rig_.create(spec);
  rig_.run_for(1min);
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Scheduled"), "False/NoReservedCapacity");
  rig_.create(claim_spec("c1", 1));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 1s));
}

TEST_F(ReconcileTest, a_deployment_stays_in_the_zones_its_gateways_share) {
  rig_.driver.add_node(node("a1"));
  rig_.driver.add_node(node("b1", 4, "ZONE-B"));
  rig_.create(gateway_spec("g1", {"zone-a", "zone-b"}));
  rig_.create(gateway_spec("g2", {"zone-b"}));
  auto spec = deployment_spec("d1", 3);
  spec.gateway_ids = {"g1", "g2"};
  deploy(spec);
  for (const model::Replica& replica : rig_.replicas("d1")) EXPECT_EQ(replica.node_id, "b1");
  auto nowhere = deployment_spec("d2");
  nowhere.gateway_ids = {"g2", "g3"};
  rig_.create(gateway_spec("g3", {"zone-c"}));
  rig_.create(nowhere);
  rig_.run_for(1s);
  EXPECT_EQ(Rig::condition(rig_.deployment("d2"), "Scheduled"), "False/NoMatchingZone");
}

TEST_F(ReconcileTest, P03_an_update_is_rolled_out_without_a_gap_and_leaves_nothing_old) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1", 2));
  const std::set<model::Id> before = rig_.engines();
  rig_.driver.script({.start_delay = 5s});
  rig_.update_deployment("d1", [](auto& spec) { spec.runtime.version = "0.9.0"; });
  std::size_t least = 2;
  ASSERT_TRUE(rig_.run_until([&] {
    least = std::min(least, rig_.routable_count("d1"));
    return rig_.deployment_is("d1", ready);
  }));
  EXPECT_EQ(least, 2U);
  const std::set<model::Id> after = rig_.engines();
  EXPECT_EQ(after.size(), 2U);
  for (const model::Id& id : after) EXPECT_FALSE(before.contains(id));
  for (const auto& spec : rig_.driver.running()) EXPECT_EQ(spec.runtime.version, "0.9.0");
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, ready, updating, ready}));
}

TEST_F(ReconcileTest, an_update_without_spare_gpus_replaces_one_by_one) {
  rig_.driver.add_node(node("n1", 2));
  deploy(deployment_spec("d1", 2));
  rig_.driver.script({.start_delay = 5s});
  rig_.update_deployment("d1", [](auto& spec) { spec.model.path = "q"; });
  std::size_t least = 2;
  ASSERT_TRUE(rig_.run_until([&] {
    least = std::min(least, rig_.routable_count("d1"));
    return rig_.deployment_is("d1", ready);
  }));
  EXPECT_EQ(least, 1U);
  EXPECT_EQ(rig_.engines().size(), 2U);
}

TEST_F(ReconcileTest, changes_of_scale_traffic_and_gateways_restart_nothing) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1", 2));
  const std::set<model::Id> before = rig_.engines();
  rig_.update_deployment("d1", [](auto& spec) {
    spec.autoscaling.min = 3;
    spec.autoscaling.max = 5;
    spec.traffic.weight = 50;
    spec.gateway_ids = {"g2"};
  });
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }));
  std::set<model::Id> after = rig_.engines();
  EXPECT_EQ(after.size(), 3U);
  for (const model::Id& id : before) EXPECT_TRUE(after.contains(id));
  rig_.update_deployment("d1", [](auto& spec) { spec.autoscaling.min = 1; });
  ASSERT_TRUE(rig_.run_until([&] { return rig_.engines().size() == 1; }));
  EXPECT_TRUE(before.contains(*rig_.engines().begin()));
}

TEST_F(ReconcileTest, a_failed_roll_out_keeps_the_old_serving_and_heals_with_the_next_update) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1", 2));
  rig_.driver.script(
      {.failure = runtime::FakeScript::Failure{"InvalidModel", "not a model", true}});
  rig_.update_deployment("d1", [](auto& spec) { spec.model.path = "broken"; });
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", failed); }, 1s));
  rig_.run_for(1min);
  EXPECT_EQ(rig_.routable_count("d1"), 2U);
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ModelAvailable"), "False/InvalidModel");
  EXPECT_EQ(Rig::message(rig_.deployment("d1"), "Ready"), "not a model");
  EXPECT_EQ(rig_.replicas("d1").size(), 2U) << "the failed ones hold no GPU";
  rig_.driver.script({});
  rig_.update_deployment("d1", [](auto& spec) { spec.autoscaling.max = 9; });
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 1s));
  for (const auto& spec : rig_.driver.running()) EXPECT_EQ(spec.model.path, "broken");
}

TEST_F(ReconcileTest, P01_a_deletion_drains_then_stops_however_slow_the_engine) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.script({.stop_delay = 20s});
  deploy(deployment_spec("d1"));
  const model::Id replica = rig_.replicas("d1")[0].id;
  rig_.busy.insert(replica);
  rig_.erase_deployment("d1");
  rig_.run_for(1s);
  EXPECT_EQ(rig_.routable_count("d1"), 0U) << "no new work at once";
  EXPECT_EQ(rig_.serving["d1"].size(), 1U) << "the running request goes on";
  EXPECT_TRUE(rig_.engines().contains(replica));
  ASSERT_TRUE(rig_.run_until([&] { return !rig_.deployment("d1").has_value(); }, 60s))
      << "the request never ended: the drain limit counts";
  EXPECT_TRUE(rig_.engines().empty());
  EXPECT_TRUE(rig_.serving["d1"].empty());
}

TEST_F(ReconcileTest, slots_are_free_only_when_the_engine_is_gone) {
  rig_.driver.add_node(node("n1", 1));
  rig_.driver.script({.stop_delay = 20s});
  deploy(deployment_spec("d1"));
  rig_.create(deployment_spec("d2"));
  rig_.erase_deployment("d1");
  rig_.run_for(10s);
  EXPECT_TRUE(rig_.replicas("d2").empty());
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d2", ready); }, 15s));
}

TEST_F(ReconcileTest, a_disabled_deployment_is_ready_without_replicas) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.update_deployment("d1", [](auto& spec) { spec.disabled = true; });
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 1s));
  EXPECT_TRUE(rig_.engines().empty());
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Ready"), "True/AsExpected");
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Routable"), "False/Disabled");
  rig_.update_deployment("d1", [](auto& spec) { spec.disabled = false; });
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 1s));
  EXPECT_EQ(rig_.engines().size(), 1U);
}

TEST_F(ReconcileTest, a_crash_below_the_minimum_is_an_error_until_the_engine_is_back) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.run_for(10min);
  rig_.driver.crash(rig_.replicas("d1")[0].id, "killed by signal 9");
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", error); }, 100ms));
  EXPECT_EQ(rig_.routable_count("d1"), 0U);
  EXPECT_NE(Rig::message(rig_.deployment("d1"), "ReplicasReady").find("signal 9"),
            std::string::npos);
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 5s));
}

TEST_F(ReconcileTest, P11_an_engine_that_never_comes_up_is_failed_with_its_last_words) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.script({.crash_count = 1000});
  rig_.create(deployment_spec("d1"));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", failed); }));
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, failed}));
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ReplicasReady"), "False/EngineCrashLoop");
  EXPECT_NE(Rig::message(rig_.deployment("d1"), "ReplicasReady").find("code 1"), std::string::npos);
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.engines().empty());
  EXPECT_TRUE(rig_.replicas("d1").empty());
}

TEST_F(ReconcileTest, a_crash_loop_after_healthy_life_is_an_error_without_flicker) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  const model::Id replica = rig_.replicas("d1")[0].id;
  for (int i = 0; i < 5; ++i) {
    rig_.driver.crash(replica, "out of memory");
    rig_.run_until([&] { return !rig_.engines().empty(); });
    if (i < 4) {
      ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }));
    }
  }
  EXPECT_TRUE(rig_.deployment_is("d1", error));
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ReplicasReady"), "False/EngineCrashLoop");
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }));
}

TEST_F(ReconcileTest, an_engine_that_stops_answering_is_taken_out_and_named) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.driver.set_healthy(rig_.replicas("d1")[0].id, false);
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", error); }, 100ms));
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ReplicasReady"), "False/HealthCheckFailed");
  EXPECT_EQ(rig_.routable_count("d1"), 0U);
  rig_.driver.set_healthy(rig_.replicas("d1")[0].id, true);
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 100ms));
}

TEST_F(ReconcileTest, missing_weights_are_an_error_that_heals_by_itself) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.script({.failure = runtime::FakeScript::Failure{"PathNotFound", "no p in models"}});
  rig_.create(deployment_spec("d1"));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", error); }, 1s));
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ModelAvailable"), "False/PathNotFound");
  const std::size_t writes = rig_.witness.write_count("d1");
  rig_.run_for(1min);
  EXPECT_EQ(rig_.witness.write_count("d1"), writes) << "looking again is not news";
  rig_.driver.script({});
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 5s));
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, error, ready}));
}

TEST_F(ReconcileTest, a_weight_of_zero_beside_a_peer_with_weight_is_not_routable) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  auto peer = deployment_spec("d2");
  peer.traffic.weight = 10;
  deploy(peer);
  rig_.run_for(100ms);
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Routable"), "False/ZeroWeight");
  rig_.erase_deployment("d2");
  rig_.run_for(1s);
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Routable"), "True/Serving");
}

TEST_F(ReconcileTest, a_node_that_is_gone_loses_its_replicas_to_another) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.driver.add_node(node("n2"));
  rig_.run_for(10s);
  rig_.driver.remove_node("n1");
  rig_.start_loop();  // which looks at the machines first
  rig_.run_for(10s);
  ASSERT_TRUE(rig_.deployment_is("d1", ready));
  ASSERT_EQ(rig_.replicas("d1").size(), 1U);
  EXPECT_EQ(rig_.replicas("d1")[0].node_id, "n2");
}

// ---- the loop itself

TEST_F(ReconcileTest, P08_a_restart_adopts_what_runs_before_it_does_anything_else) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1", 2));
  rig_.run_for(1s);
  const std::size_t calls = rig_.driver.calls().size();
  const std::size_t writes = rig_.witness.write_count("d1");
  rig_.start_loop();
  rig_.loop->step();
  EXPECT_EQ(rig_.routable_count("d1"), 2U);
  rig_.run_for(1min);
  EXPECT_EQ(rig_.driver.calls().size(), calls) << "nothing was started or stopped";
  EXPECT_EQ(rig_.witness.write_count("d1"), writes);
}

TEST_F(ReconcileTest, P02_engines_that_no_record_knows_are_stopped) {
  rig_.driver.add_orphan("stranger", "nobody");
  ASSERT_TRUE(rig_.run_until([&] { return rig_.engines().empty(); }, 1s));
}

TEST_F(ReconcileTest, no_engine_is_called_an_orphan_while_the_store_cannot_be_read) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.start_loop();
  rig_.fuse.is_burnt = true;
  rig_.run_for(2min);
  EXPECT_EQ(rig_.engines().size(), 1U);
  rig_.fuse = {};
  rig_.run_for(1min);
  EXPECT_EQ(rig_.engines().size(), 1U);
  EXPECT_TRUE(rig_.deployment_is("d1", ready));
}

TEST_F(ReconcileTest, a_deletion_goes_on_after_the_driver_refused_for_a_while) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.create(gateway_spec("g2"));
  rig_.driver.refuse_calls(Error{.code = Code::unavailable, .message = "busy"});
  rig_.erase_deployment("d1");
  EXPECT_TRUE(rig_.run_until([&] { return rig_.gateway_is("g2", ready); }, 1s))
      << "others are not held up";
  rig_.run_for(5min);
  EXPECT_TRUE(rig_.deployment_is("d1", deleting));
  rig_.driver.refuse_calls(std::nullopt);
  EXPECT_TRUE(rig_.run_until([&] { return !rig_.deployment("d1").has_value(); }, 1min));
}

TEST_F(ReconcileTest, replicas_whose_deployment_vanished_are_stopped) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  const auto known = store::get_deployment(rig_.store, "d1");
  rig_.erase_deployment("d1");
  const auto going = store::get_deployment(rig_.store, "d1");
  ASSERT_TRUE(
      rig_.store.commit_and_wait({store::Remove{store::Kind::deployment, "d1", (*going)->version}})
          .has_value());
  ASSERT_TRUE(rig_.run_until([&] { return rig_.engines().empty(); }, 1s));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.replicas("d1").empty(); }, 1s));
}

TEST_F(ReconcileTest, runs_on_its_own_thread_and_ends_when_told) {
  // The clock stands still: only wake-ups move the loop.
  rig_.driver.add_node(node("n1"));
  rig_.loop->start();
  rig_.create(gateway_spec("g1"));
  while (!rig_.gateway_is("g1", ready)) std::this_thread::yield();
  rig_.loop->stop();
}

}  // namespace
}  // namespace staithe::reconcile
