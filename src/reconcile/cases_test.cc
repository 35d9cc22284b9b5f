#include <gtest/gtest.h>

#include "reconcile/testing/fixture.h"

// Behaviours that users of such servers have missed, by the id of their case.
namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::claim_spec;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

class CaseTest : public testing::ReconcileTest {};

TEST_F(CaseTest, P04_what_is_in_its_wanted_state_is_never_written_again) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.add_node(node("n2"));
  rig_.create(claim_spec("c1", 1));
  rig_.create(gateway_spec("g1"));
  deploy(deployment_spec("d1", 2));
  ASSERT_TRUE(rig_.claim_is("c1", ready));
  rig_.run_for(10s);
  const auto claim = rig_.claim("c1");
  const auto gateway = rig_.gateway("g1");
  const auto deployment = rig_.deployment("d1");
  const std::uint64_t calls = rig_.fuse.calls;
  rig_.run_for(2h);
  EXPECT_EQ(rig_.claim("c1"), claim);
  EXPECT_EQ(rig_.gateway("g1"), gateway);
  EXPECT_EQ(rig_.deployment("d1"), deployment);
  EXPECT_EQ(rig_.fuse.calls, calls) << "no write, no start, no stop";
}

TEST_F(CaseTest, P05_a_replica_that_fits_no_machine_is_named_in_a_condition) {
  rig_.driver.add_node(node("n1", 4));
  rig_.create(gateway_spec("g1"));
  rig_.create(deployment_spec("d1", 1, 8));
  rig_.run_for(1s);
  EXPECT_TRUE(rig_.deployment_is("d1", creating));
  EXPECT_EQ(Rig::condition(rig_.deployment("d1"), "Scheduled"), "False/InsufficientCapacity");
  EXPECT_NE(Rig::message(rig_.deployment("d1"), "Scheduled").find("needs 8"), std::string::npos);
}

TEST_F(CaseTest, P07_what_today_s_rules_would_refuse_can_still_be_deleted) {
  rig_.driver.add_node(node("n1"));
  model::DeploymentSpec deployment = deployment_spec("d1", 0, 0);
  deployment.autoscaling.max = 0;
  deployment.autoscaling.priority = 5'000;
  deployment.gateway_ids = {"gone"};
  deployment.resources.instance_type = "";
  rig_.create(deployment);
  rig_.create(claim_spec("c1", 0, {}, ""));
  rig_.create(gateway_spec("g1", {"nowhere"}));
  rig_.run_for(10s);
  rig_.erase_deployment("d1");
  rig_.erase_claim("c1");
  rig_.erase_gateway("g1");
  EXPECT_TRUE(rig_.run_until(
      [&] { return !rig_.deployment("d1") && !rig_.claim("c1") && !rig_.gateway("g1"); }, 10s));
}

TEST_F(CaseTest, P15_switching_off_and_on_at_once_never_gets_stuck) {
  rig_.driver.add_node(node("n1", 1));
  rig_.driver.script({.start_delay = 3ms, .stop_delay = 2ms});
  deploy(deployment_spec("d1"));
  SeededRandom random(15);
  for (int i = 0; i < 10'000; ++i) {
    rig_.update_deployment("d1", [](auto& spec) { spec.disabled = !spec.disabled; });
    rig_.run_for(std::chrono::microseconds{random.below(4'000)});
    ASSERT_LE(rig_.engines().size(), 1U) << "on the one GPU";
  }
  rig_.update_deployment("d1", [](auto& spec) { spec.disabled = false; });
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 5s));
  EXPECT_EQ(rig_.routable_count("d1"), 1U);
}

TEST_F(CaseTest, P18_replicas_stay_within_the_maximum_while_it_is_changed) {
  rig_.driver.add_node(node("n1", 8));
  rig_.driver.add_node(node("n2", 8));
  rig_.driver.script({.start_delay = 20ms, .stop_delay = 20ms});
  deploy(deployment_spec("d1", 4));
  SeededRandom random(18);
  for (int i = 0; i < 300; ++i) {
    const auto count = static_cast<std::uint32_t>(1 + random.below(6));
    const bool is_new_version = random.below(4) == 0;
    rig_.update_deployment("d1", [&](auto& spec) {
      spec.autoscaling.min = count;
      spec.autoscaling.max = count;
      if (is_new_version) spec.runtime.version = "0." + std::to_string(i) + ".0";
    });
    rig_.run_for(std::chrono::milliseconds{random.below(60)});
    std::map<std::uint64_t, std::uint32_t> taking_work;
    for (const model::Replica& replica : rig_.replicas("d1")) {
      if (!replica.draining) taking_work[replica.spec_hash] += 1;
    }
    const std::uint64_t hash = hash_of(rig_.deployment("d1")->spec);
    ASSERT_LE(taking_work[hash], count) << "of the present spec";
  }
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }));
  EXPECT_EQ(rig_.replicas("d1").size(), rig_.deployment("d1")->spec.autoscaling.min);
}

}  // namespace
}  // namespace staithe::reconcile
