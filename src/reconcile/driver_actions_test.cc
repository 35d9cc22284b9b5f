#include "reconcile/driver_actions.h"

#include <gtest/gtest.h>

#include <vector>

#include "reconcile/testing/fixture.h"

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

// Holds work back until the test lets it go.
class PatientExecutor final : public Executor {
 public:
  [[nodiscard]] bool submit(std::function<void()> work) override {
    if (is_full) return false;
    held.push_back(std::move(work));
    return true;
  }
  void run(std::size_t which) {
    const std::function<void()> work = std::move(held[which]);
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
    work();
  }

  std::vector<std::function<void()>> held;
  bool is_full = false;
};

class DriverActionsTest : public ::testing::Test {
 protected:
  static runtime::ReplicaSpec spec(const model::Id& id, const model::Id& node_id = "n1") {
    runtime::ReplicaSpec spec;
    spec.id = id;
    spec.deployment_id = "d1";
    spec.parts = {{node_id, {0}}};
    return spec;
  }

  FakeClock clock_;
  runtime::FakeDriver driver_{clock_};
  PatientExecutor executor_;
  std::vector<model::Id> told_;
  DriverActions actions_{driver_, executor_, [this](const model::Id& id) { told_.push_back(id); }};
};

TEST_F(DriverActionsTest, a_stop_does_not_overtake_a_start) {
  actions_.ensure(spec("r1"));
  actions_.stop("d1", "n1", "r1");
  ASSERT_EQ(executor_.held.size(), 1U);
  EXPECT_TRUE(actions_.is_under_way("r1"));
  executor_.run(0);
  EXPECT_EQ(told_, (std::vector<model::Id>{"d1"}));
  actions_.collect();
  EXPECT_FALSE(actions_.is_under_way("r1"));
  EXPECT_FALSE(actions_.is_gone("r1"));
  EXPECT_EQ(driver_.running().size(), 1U);
}

TEST_F(DriverActionsTest, a_node_that_hangs_does_not_use_up_the_executor) {
  for (int i = 0; i < 10; ++i) actions_.ensure(spec("slow-" + std::to_string(i), "n1"));
  actions_.ensure(spec("other", "n2"));
  EXPECT_EQ(executor_.held.size(), DriverActions::per_node_max + 1);
  executor_.run(DriverActions::per_node_max);
  EXPECT_EQ(driver_.running().at(0).id, "other");
  executor_.run(0);
  actions_.collect();
  EXPECT_EQ(executor_.held.size(), DriverActions::per_node_max) << "the next one has its turn";
}

TEST_F(DriverActionsTest, tells_an_error_once_and_then_tries_again) {
  driver_.refuse_calls(Error{.code = Code::unavailable, .message = "busy"});
  actions_.ensure(spec("r1"));
  executor_.run(0);
  actions_.collect();
  ASSERT_TRUE(actions_.take_error("r1").has_value());
  EXPECT_FALSE(actions_.take_error("r1").has_value());
  EXPECT_FALSE(actions_.is_under_way("r1"));
}

TEST_F(DriverActionsTest, an_executor_that_is_full_is_an_error_like_any_other) {
  executor_.is_full = true;
  actions_.ensure(spec("r1"));
  EXPECT_FALSE(actions_.is_under_way("r1"));
  EXPECT_EQ(actions_.take_error("r1")->code, Code::unavailable);
}

TEST_F(DriverActionsTest, what_ends_after_us_disturbs_nobody) {
  {
    DriverActions short_lived{driver_, executor_, [this](const auto& id) { told_.push_back(id); }};
    short_lived.ensure(spec("r1"));
  }
  executor_.run(0);
  EXPECT_TRUE(told_.empty());
}

// ---- the loop over an executor that takes its time

class SlowDriverTest : public testing::ReconcileTest {
 protected:
  SlowDriverTest() {
    rig_.calls = &executor_;
    rig_.start_loop();
    rig_.driver.add_node(node("n1", 8));
    rig_.create(gateway_spec("g1"));
  }

  PatientExecutor executor_;
};

TEST_F(SlowDriverTest, a_start_that_hangs_holds_up_its_own_replica_only) {
  rig_.create(deployment_spec("d1"));
  rig_.run_for(1s);
  ASSERT_EQ(executor_.held.size(), 1U);
  rig_.create(deployment_spec("d2"));
  rig_.run_for(1s);
  ASSERT_EQ(executor_.held.size(), 2U);
  executor_.run(1);
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d2", ready); }, 1s));
  EXPECT_TRUE(rig_.deployment_is("d1", creating));
  executor_.run(0);
  EXPECT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 1s));
}

TEST_F(SlowDriverTest, P16_slots_are_free_only_once_a_start_that_hangs_is_over_and_undone) {
  rig_.create(deployment_spec("d1", 1, 8));
  rig_.run_for(1s);
  rig_.erase_deployment("d1");
  rig_.create(deployment_spec("d2", 1, 8));
  rig_.run_for(10min);
  EXPECT_TRUE(rig_.deployment_is("d1", deleting));
  EXPECT_EQ(Rig::condition(rig_.deployment("d2"), "Scheduled"), "False/InsufficientCapacity");
  while (!executor_.held.empty() && !rig_.deployment_is("d2", ready)) {
    executor_.run(0);
    EXPECT_LE(rig_.engines().size(), 1U);
    rig_.run_for(10s);
  }
  EXPECT_TRUE(rig_.deployment_is("d2", ready));
  EXPECT_FALSE(rig_.deployment("d1").has_value());
}

}  // namespace
}  // namespace staithe::reconcile
