#include <gtest/gtest.h>

#include "reconcile/testing/rig.h"

// The process may end between any two calls that change the world.
namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::claim_spec;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

// One story with everything in it: claims, roll-out, shrinking, deletion.
struct Story {
  Rig rig;

  void begin() {
    for (int i = 1; i <= 3; ++i) rig.driver.add_node(node("n" + std::to_string(i), 2));
    rig.driver.script({.start_delay = 100ms, .stop_delay = 100ms});
    rig.create(claim_spec("c1", 2));
    rig.create(gateway_spec("g1"));
    rig.create(deployment_spec("d1", 2));
    rig.create(deployment_spec("d2", 2));
  }
  void change() {
    rig.update_claim("c1", [](auto& spec) { spec.resources.instance_count = 1; });
    rig.update_deployment("d1", [](auto& spec) { spec.runtime.version = "0.9.0"; });
    rig.erase_deployment("d2");
  }
  bool has_begun() {
    return rig.claim_is("c1", ready) && rig.gateway_is("g1", ready) &&
           rig.deployment_is("d1", ready) && rig.deployment_is("d2", ready);
  }
  bool has_changed() {
    return rig.claim_is("c1", ready) && rig.deployment_is("d1", ready) &&
           !rig.deployment("d2").has_value();
  }

  void expect_order() {
    for (const std::string& fault : rig.witness.faults()) ADD_FAILURE() << fault;
    std::set<model::Id> recorded;
    const auto listed = store::list_replicas(rig.store);
    for (const auto& each : *listed) recorded.insert(each.value.id);
    EXPECT_EQ(rig.engines(), recorded) << "every engine has a record and the other way round";
    EXPECT_EQ(recorded.size(), 2U);
    for (const auto& spec : rig.driver.running()) EXPECT_EQ(spec.runtime.version, "0.9.0");
    EXPECT_EQ(rig.claim("c1")->status.nodes.size(), 1U);
    EXPECT_EQ(rig.routable_count("d1"), 2U);
  }
};

std::uint64_t count_calls() {
  Story story;
  story.begin();
  EXPECT_TRUE(story.rig.run_until([&] { return story.has_begun(); }));
  story.change();
  EXPECT_TRUE(story.rig.run_until([&] { return story.has_changed(); }));
  story.rig.run_for(1s);
  story.expect_order();
  return story.rig.fuse.calls;
}

TEST(Crash, P21_converges_after_an_end_between_any_two_calls) {
  const std::uint64_t calls = count_calls();
  ASSERT_GT(calls, 20U);
  for (std::uint64_t k = 0; k < calls; ++k) {
    SCOPED_TRACE("the process ends before call " + std::to_string(k));
    Story story;
    story.rig.fuse.calls_left = k;
    story.begin();
    const auto restart_if_ended = [&] {
      if (story.rig.fuse.is_burnt) story.rig.start_loop();
    };
    ASSERT_TRUE(story.rig.run_until([&] {
      restart_if_ended();
      return story.has_begun();
    }));
    story.change();
    ASSERT_TRUE(story.rig.run_until([&] {
      restart_if_ended();
      return story.has_changed();
    }));
    story.rig.run_for(1s);
    story.expect_order();
  }
}

TEST(Crash, P21_converges_when_it_ends_again_and_again) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    SeededRandom random(seed);
    Story story;
    int ends_left = 10;
    const auto burn_anew = [&] {
      if (ends_left > 0) story.rig.fuse.calls_left = random.below(6);
    };
    burn_anew();
    story.begin();
    const auto restart_if_ended = [&] {
      if (!story.rig.fuse.is_burnt) return;
      ends_left -= 1;
      story.rig.start_loop();
      burn_anew();
    };
    ASSERT_TRUE(story.rig.run_until([&] {
      restart_if_ended();
      return story.has_begun();
    }));
    story.change();
    ASSERT_TRUE(story.rig.run_until([&] {
      restart_if_ended();
      return story.has_changed();
    }));
    story.rig.fuse = {};
    story.rig.start_loop();
    story.rig.run_for(1s);
    story.expect_order();
  }
}

}  // namespace
}  // namespace staithe::reconcile
