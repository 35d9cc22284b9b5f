#include <gtest/gtest.h>

#include "reconcile/testing/fixture.h"

// The autoscaler in its place: from requests at the gateways to engines that run.
namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

class ScalingTest : public testing::ReconcileTest {
 protected:
  ScalingTest() {
    rig_.driver.add_node(node("n1", 8));
    rig_.driver.script({.start_delay = 30s});
    rig_.create(gateway_spec("g1"));
  }
  // Replicas of 10 requests at once each.
  static model::DeploymentSpec scaled(const model::Id& id, std::uint32_t min, std::uint32_t max,
                                      std::uint32_t priority = 100) {
    model::DeploymentSpec spec = deployment_spec(id, min);
    spec.autoscaling.max = max;
    spec.autoscaling.concurrency = 10;
    spec.autoscaling.priority = priority;
    return spec;
  }
};

TEST_F(ScalingTest, follows_demand_up_at_once_and_down_after_the_window_and_stays_ready) {
  deploy(scaled("d1", 1, 4));
  rig_.set_requests("d1", 25);
  EXPECT_TRUE(rig_.run_until([&] { return rig_.engines().size() == 3; }, 3s));
  rig_.run_for(2min);
  EXPECT_EQ(rig_.routable_count("d1"), 3U);
  rig_.set_requests("d1", 0);
  rig_.run_for(30s);
  EXPECT_EQ(rig_.engines().size(), 3U);
  EXPECT_TRUE(rig_.run_until([&] { return rig_.engines().size() == 1; }, 20min));
  EXPECT_EQ(rig_.witness.seen("d1"), (testing::Statuses{creating, ready}));
}

TEST_F(ScalingTest, X03_replicas_that_load_for_minutes_are_neither_ordered_twice_nor_taken_back) {
  rig_.driver.script({.start_delay = 5min});
  ASSERT_NO_FATAL_FAILURE(rig_.create(scaled("d1", 1, 4)));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 10min));
  rig_.set_requests("d1", 25);
  ASSERT_TRUE(rig_.run_until([&] { return rig_.engines().size() == 3; }, 3s));
  for (int i = 0; i < 280; ++i) {
    rig_.run_for(1s);
    ASSERT_EQ(rig_.engines().size(), 3U);
  }
}

TEST_F(ScalingTest, X04_stops_at_the_maximum_and_says_so) {
  deploy(scaled("d1", 1, 2));
  rig_.set_requests("d1", 90);
  rig_.run_for(2min);
  EXPECT_EQ(rig_.engines().size(), 2U);
  EXPECT_NE(Rig::message(rig_.deployment("d1"), "ReplicasReady").find("the maximum"),
            std::string::npos);
  rig_.set_requests("d1", 5);
  rig_.run_for(20min);
  EXPECT_EQ(Rig::message(rig_.deployment("d1"), "ReplicasReady").find("the maximum"),
            std::string::npos);
}

TEST_F(ScalingTest, holds_what_there_is_while_the_data_plane_does_not_answer) {
  deploy(scaled("d1", 1, 4));
  rig_.set_requests("d1", 25);
  rig_.run_for(2min);
  rig_.is_data_plane_answering = false;
  rig_.run_for(30min);
  EXPECT_EQ(rig_.engines().size(), 3U);
}

TEST_F(ScalingTest, a_restart_keeps_the_replicas_that_demand_has_asked_for) {
  deploy(scaled("d1", 1, 4));
  rig_.set_requests("d1", 25);
  rig_.run_for(2min);
  const std::set<model::Id> engines = rig_.engines();
  rig_.start_loop();
  for (int i = 0; i < 120; ++i) {
    rig_.run_for(1s);
    ASSERT_EQ(rig_.engines(), engines);
  }
}

TEST_F(ScalingTest, a_roll_out_brings_up_as_many_as_demand_asks_for) {
  deploy(scaled("d1", 1, 4));
  rig_.set_requests("d1", 25);
  rig_.run_for(2min);
  rig_.update_deployment("d1", [](auto& spec) { spec.runtime.version = "0.9.0"; });
  ASSERT_TRUE(rig_.run_until(
      [&] {
        EXPECT_GE(rig_.routable_count("d1"), 3U);
        return rig_.deployment_is("d1", ready) && rig_.engines().size() == 3;
      },
      5min));
  for (const auto& spec : rig_.driver.running()) EXPECT_EQ(spec.runtime.version, "0.9.0");
}

TEST_F(ScalingTest, replicas_above_a_minimum_make_room_for_the_minimum_of_a_higher_priority) {
  deploy(scaled("low", 1, 8, 100));
  rig_.set_requests("low", 80);
  rig_.run_for(2min);
  ASSERT_EQ(rig_.engines().size(), 8U);
  rig_.create(scaled("high", 3, 3, 900));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("high", ready); }, 5min));
  rig_.run_for(5min);
  EXPECT_EQ(rig_.routable_count("high"), 3U);
  EXPECT_EQ(rig_.routable_count("low"), 5U);
  EXPECT_TRUE(rig_.deployment_is("low", ready));
}

TEST_F(ScalingTest, X11_an_equal_priority_takes_nothing_from_an_older_one) {
  deploy(scaled("old", 2, 8));
  rig_.set_requests("old", 80);
  rig_.run_for(2min);
  ASSERT_EQ(rig_.engines().size(), 8U);
  rig_.create(scaled("new", 1, 1));
  rig_.run_for(5min);
  EXPECT_EQ(rig_.routable_count("old"), 8U);
  EXPECT_TRUE(rig_.deployment_is("new", creating));
  EXPECT_EQ(Rig::condition(rig_.deployment("new"), "Scheduled"), "False/InsufficientCapacity");
}

}  // namespace
}  // namespace staithe::reconcile
