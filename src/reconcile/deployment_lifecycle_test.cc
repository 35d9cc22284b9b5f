#include <gtest/gtest.h>

#include "reconcile/testing/fixture.h"

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::claim_spec;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;
using testing::Statuses;

class DeploymentTest : public testing::ReconcileTest {};

// ---- deployments

TEST_F(DeploymentTest, a_deployment_is_ready_when_min_replicas_answered_and_not_before) {
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

TEST_F(DeploymentTest, a_simulated_engine_settles_without_waiting_for_any_poll) {
  rig_.driver.add_node(node("n1"));
  rig_.create(deployment_spec("d1", 2));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 0s));
  rig_.erase_deployment("d1");
  EXPECT_TRUE(rig_.run_until([&] { return !rig_.deployment("d1").has_value(); }, 10ms));
  EXPECT_TRUE(rig_.engines().empty());
  EXPECT_TRUE(rig_.replicas("d1").empty());
}

TEST_F(DeploymentTest, P10_a_deployment_without_room_stays_creating_until_there_is_some) {
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

TEST_F(DeploymentTest, X11_the_higher_priority_gets_the_slot_that_becomes_free) {
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

TEST_F(DeploymentTest, reserved_only_waits_for_a_claim) {
  rig_.driver.add_node(node("n1"));
  auto spec = deployment_spec("d1");
  spec.autoscaling.capacity_classes = {model::CapacityClass::reserved};
  rig_.create(spec);
  rig_.run_for(1min);
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Scheduled"), "False/NoReservedCapacity");
  rig_.create(claim_spec("c1", 1));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 1s));
}

TEST_F(DeploymentTest, a_deployment_stays_in_the_zones_its_gateways_share) {
  rig_.driver.add_node(node("a1"));
  rig_.driver.add_node(node("b1", 4, "ZONE-B"));
  rig_.create(gateway_spec("g1", {"zone-a", "zone-b"}));
  rig_.create(gateway_spec("g2", {"zone-b"}));
  auto spec = deployment_spec("d1", 3);
  spec.gateway_ids = {"g1", "g2"};
  deploy(spec);
  for (const model::Replica& replica : rig_.replicas("d1"))
    EXPECT_EQ(replica.parts[0].node_id, "b1");
  auto nowhere = deployment_spec("d2");
  nowhere.gateway_ids = {"g2", "g3"};
  rig_.create(gateway_spec("g3", {"zone-c"}));
  rig_.create(nowhere);
  rig_.run_for(1s);
  EXPECT_EQ(Rig::condition(rig_.deployment("d2"), "Scheduled"), "False/NoMatchingZone");
}

TEST_F(DeploymentTest, P03_an_update_is_rolled_out_without_a_gap_and_leaves_nothing_old) {
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

TEST_F(DeploymentTest, an_update_without_spare_gpus_replaces_one_by_one) {
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

TEST_F(DeploymentTest, changes_of_scale_traffic_and_gateways_restart_nothing) {
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

TEST_F(DeploymentTest, a_failed_roll_out_keeps_the_old_serving_and_heals_with_the_next_update) {
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

TEST_F(DeploymentTest, P01_a_deletion_drains_then_stops_however_slow_the_engine) {
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

TEST_F(DeploymentTest, an_engine_too_busy_for_its_health_check_is_not_stopped_under_its_requests) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  const model::Id replica = rig_.replicas("d1")[0].id;
  rig_.busy.insert(replica);
  rig_.erase_deployment("d1");
  rig_.run_for(1s);
  rig_.driver.set_healthy(replica, false);
  rig_.run_for(10s);
  EXPECT_TRUE(rig_.engines().contains(replica));
  rig_.busy.clear();
  EXPECT_TRUE(rig_.run_until([&] { return !rig_.deployment("d1").has_value(); }, 5s));
}

TEST_F(DeploymentTest, slots_are_free_only_when_the_engine_is_gone) {
  rig_.driver.add_node(node("n1", 1));
  rig_.driver.script({.stop_delay = 20s});
  deploy(deployment_spec("d1"));
  rig_.create(deployment_spec("d2"));
  rig_.erase_deployment("d1");
  rig_.run_for(10s);
  EXPECT_TRUE(rig_.replicas("d2").empty());
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d2", ready); }, 15s));
}

TEST_F(DeploymentTest, whoever_waits_gets_a_slot_as_soon_as_an_engine_gives_it_up) {
  rig_.driver.add_node(node("n1", 1));
  rig_.driver.script({.stop_delay = 20s});
  deploy(deployment_spec("d1"));
  rig_.create(deployment_spec("d2"));
  rig_.update_deployment("d1", [](auto& spec) { spec.disabled = true; });
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d2", ready); }, 21s));
}

TEST_F(DeploymentTest, a_disabled_deployment_is_ready_without_replicas) {
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

TEST_F(DeploymentTest, a_crash_below_the_minimum_is_an_error_until_the_engine_is_back) {
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

TEST_F(DeploymentTest, P11_an_engine_that_never_comes_up_is_failed_with_its_last_words) {
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

TEST_F(DeploymentTest, a_crash_loop_after_healthy_life_is_an_error_without_flicker) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.script({.start_delay = 10ms});
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

TEST_F(DeploymentTest, an_engine_that_stops_answering_is_taken_out_and_named) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.driver.set_healthy(rig_.replicas("d1")[0].id, false);
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", error); }, 100ms));
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "ReplicasReady"), "False/HealthCheckFailed");
  EXPECT_EQ(rig_.routable_count("d1"), 0U);
  rig_.driver.set_healthy(rig_.replicas("d1")[0].id, true);
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 100ms));
}

TEST_F(DeploymentTest, missing_weights_are_an_error_that_heals_by_itself) {
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

TEST_F(DeploymentTest, a_weight_of_zero_beside_a_peer_with_weight_is_not_routable) {
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

TEST_F(DeploymentTest, a_node_that_is_gone_loses_its_replicas_to_another) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.driver.add_node(node("n2"));
  rig_.run_for(10s);
  rig_.driver.remove_node("n1");
  rig_.start_loop();  // which looks at the machines first
  rig_.run_for(10s);
  ASSERT_TRUE(rig_.deployment_is("d1", ready));
  ASSERT_EQ(rig_.replicas("d1").size(), 1U);
  EXPECT_EQ(rig_.replicas("d1")[0].parts[0].node_id, "n2");
}

}  // namespace
}  // namespace staithe::reconcile
