#include "reconcile/loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "model/codec.h"
#include "reconcile/testing/fixture.h"

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

class LoopTest : public testing::ReconcileTest {};

// ---- the loop itself

TEST_F(LoopTest, P08_a_restart_adopts_what_runs_before_it_does_anything_else) {
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

TEST_F(LoopTest, P02_engines_that_no_record_knows_are_stopped) {
  rig_.driver.add_orphan("stranger", "nobody");
  ASSERT_TRUE(rig_.run_until([&] { return rig_.engines().empty(); }, 1s));
}

TEST_F(LoopTest, no_engine_is_called_an_orphan_while_the_store_cannot_be_read) {
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

TEST_F(LoopTest, a_deletion_goes_on_after_the_driver_refused_for_a_while) {
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

TEST_F(LoopTest, replicas_whose_deployment_vanished_are_stopped) {
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

TEST_F(LoopTest, runs_on_its_own_thread_and_ends_when_told) {
  // The clock stands still: only wake-ups move the loop.
  rig_.driver.add_node(node("n1"));
  rig_.loop->start();
  rig_.create(gateway_spec("g1"));
  while (!rig_.gateway_is("g1", ready)) std::this_thread::yield();
  rig_.loop->stop();
}

TEST_F(LoopTest, a_slot_that_somebody_else_took_meanwhile_is_left_to_them) {
  rig_.driver.add_node(node("n1", 2));
  rig_.run_for(1s);
  rig_.fused_store.before_commit = [&](const store::Transaction& transaction) {
    const auto* create = std::get_if<store::Create>(&transaction.back());
    if (create == nullptr || create->kind != store::Kind::replica) return;
    rig_.fused_store.before_commit = nullptr;
    const std::uint64_t hash = hash_of(deployment_spec("d2"));
    model::Replica other{.id = replica_id("d2", 0, hash), .deployment_id = "d2"};
    other.parts = {{"n1", {0}}};
    other.spec_hash = hash;
    EXPECT_TRUE(rig_.store.commit_and_wait({store::create_step(other)}).has_value());
  };
  rig_.create(deployment_spec("d2"));
  deploy(deployment_spec("d1"));
  EXPECT_EQ(rig_.replicas("d2")[0].parts[0].gpu_slots, (std::vector<std::uint32_t>{0}));
  EXPECT_EQ(rig_.replicas("d1")[0].parts[0].gpu_slots, (std::vector<std::uint32_t>{1}));
}

TEST_F(LoopTest, a_spec_that_changed_while_it_was_being_acted_on_is_looked_at_again) {
  rig_.driver.add_node(node("n1"));
  rig_.fused_store.before_commit = [&](const store::Transaction& transaction) {
    const auto* create = std::get_if<store::Create>(&transaction.back());
    if (create == nullptr || create->kind != store::Kind::replica) return;
    rig_.fused_store.before_commit = nullptr;
    rig_.update_deployment("d1", [](auto& spec) { spec.runtime.version = "0.9.0"; });
  };
  deploy(deployment_spec("d1"));
  ASSERT_EQ(rig_.driver.running().size(), 1U);
  EXPECT_EQ(rig_.driver.running()[0].runtime.version, "0.9.0");
  EXPECT_EQ(rig_.driver.calls().size(), 1U) << "the old spec was never started";
}

TEST_F(LoopTest, a_replica_never_runs_another_spec_than_its_record_says) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.script({.start_delay = 1s});
  rig_.fused_store.after_commit = [&](const store::Transaction& transaction) {
    const auto* create = std::get_if<store::Create>(&transaction.back());
    if (create == nullptr || create->kind != store::Kind::replica) return;
    rig_.fused_store.after_commit = nullptr;
    rig_.update_deployment("d1", [](auto& spec) { spec.runtime.version = "0.9.0"; });
  };
  rig_.create(deployment_spec("d1"));
  const model::Id first = replica_id("d1", 0, hash_of(deployment_spec("d1")));
  const bool came_up = rig_.run_until([&] {
    for (const auto& spec : rig_.driver.running()) {
      if (spec.id == first) {
        EXPECT_EQ(spec.runtime.version, "0.8.5");
      }
    }
    return rig_.deployment_is("d1", ready);
  });
  ASSERT_TRUE(came_up);
  EXPECT_EQ(rig_.driver.running()[0].runtime.version, "0.9.0");
}

TEST_F(LoopTest, an_update_after_failed_begins_anew_even_if_the_process_ended_in_between) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.script(
      {.failure = runtime::FakeScript::Failure{"InvalidModel", "not a model", true}});
  rig_.fused_store.before_commit = [&](const store::Transaction& transaction) {
    const auto* update = std::get_if<store::Update>(&transaction.front());
    model::DeploymentStatus status;
    if (update == nullptr || update->kind != store::Kind::deployment || !update->status) return;
    ASSERT_TRUE(model::decode(*update->status, status).has_value());
    if (status.status == failed) rig_.fuse.calls_left = 0;
  };
  rig_.create(deployment_spec("d1"));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.fuse.is_burnt; }));
  ASSERT_TRUE(rig_.deployment_is("d1", failed));
  rig_.driver.script({});
  rig_.update_deployment("d1", [](auto& spec) { spec.autoscaling.max = 5; });
  rig_.start_loop();
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("d1", ready); }, 5s));
  EXPECT_EQ(rig_.witness.seen("d1"), (std::vector{creating, failed, updating, ready}));
}

}  // namespace
}  // namespace staithe::reconcile
