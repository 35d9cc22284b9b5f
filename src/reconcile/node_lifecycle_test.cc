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

class NodeTest : public testing::ReconcileTest {
 protected:
  std::optional<model::Node> record(const model::Id& id) {
    const auto found = store::get_node(rig_.store, id);
    if (!found || !found->has_value()) return std::nullopt;
    return (*found)->value;
  }
  void join(model::Node machine) {
    machine.source = model::NodeSource::joined;
    ASSERT_TRUE(
        rig_.store.commit_and_wait({store::create_step(machine, rig_.clock.now())}).has_value());
  }
  void set_draining(const model::Id& id, bool is_draining) {
    auto known = *store::get_node(rig_.store, id);
    known->value.is_draining = is_draining;
    ASSERT_TRUE(
        rig_.store.commit_and_wait({store::update_step(known->value, known->version)}).has_value());
  }
  void remove(const model::Id& id) {
    const auto known = *store::get_node(rig_.store, id);
    ASSERT_TRUE(rig_.store.commit_and_wait({store::Remove{store::Kind::node, id, known->version}})
                    .has_value());
  }
  // Where the replicas of a deployment that are to stay are.
  std::vector<model::Id> homes(const model::Id& deployment_id) {
    std::vector<model::Id> nodes;
    for (const model::Replica& replica : rig_.replicas(deployment_id)) {
      if (!replica.draining) nodes.push_back(replica.parts.front().node_id);
    }
    return nodes;
  }
  // Four machines, each held by a claim.
  void claim_four() {
    for (const char* id : {"n1", "n2", "n3", "n4"}) rig_.driver.add_node(node(id));
    rig_.create(claim_spec("c1", 4));
    ASSERT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", ready); }, 1s));
  }
  void hide_all_but_one() {
    for (const char* id : {"n1", "n2", "n3"}) rig_.driver.hide_node(id);
  }
  void show_all() {
    for (const char* id : {"n1", "n2", "n3"}) rig_.driver.add_node(node(id));
  }
};

// ---- machines that vanish

TEST_F(NodeTest, P08_a_node_that_was_away_for_five_minutes_is_taken_back_with_what_runs_on_it) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  const model::Id replica = rig_.replicas("d1")[0].id;
  rig_.driver.hide_node("n1");
  ASSERT_TRUE(rig_.run_until([this] { return !record("n1")->schedulable; }, 6s))
      << "one machine is believed to be lost at once";
  const std::size_t calls = rig_.driver.calls().size();
  rig_.run_for(5min);
  rig_.driver.add_node(node("n1"));
  ASSERT_TRUE(rig_.run_until([this] { return record("n1")->schedulable; }, 6s));
  rig_.run_for(1min);
  EXPECT_EQ(rig_.driver.calls().size(), calls) << "nothing was started or stopped";
  EXPECT_EQ(rig_.replicas("d1")[0].id, replica);
  EXPECT_TRUE(rig_.deployment_is("d1", ready));
}

TEST_F(NodeTest, P09_machines_that_vanish_together_for_a_moment_are_not_lost) {
  claim_four();
  hide_all_but_one();
  rig_.run_for(25s);
  EXPECT_TRUE(rig_.claim_is("c1", ready));
  EXPECT_TRUE(record("n1")->schedulable);
  show_all();
  rig_.run_for(2min);
  EXPECT_EQ(rig_.witness.seen("c1"), (Statuses{creating, ready}));
  // The next time counts from its own beginning.
  hide_all_but_one();
  rig_.run_for(25s);
  EXPECT_TRUE(record("n1")->schedulable);
}

TEST_F(NodeTest, P09_a_control_plane_that_was_busy_looks_more_than_once) {
  claim_four();
  hide_all_but_one();
  rig_.run_for(6s);
  rig_.clock.advance(10min);  // it did nothing at all meanwhile
  rig_.loop->step();
  EXPECT_TRUE(record("n1")->schedulable) << "two sightings are not enough, however far apart";
  show_all();
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c1", ready));
}

TEST_F(NodeTest, machines_that_vanish_together_and_stay_away_are_lost_in_the_end) {
  claim_four();
  hide_all_but_one();
  ASSERT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", error); }, 40s));
  EXPECT_FALSE(record("n1")->schedulable);
  EXPECT_TRUE(record("n4")->schedulable);
}

TEST_F(NodeTest, machines_whose_loss_is_in_doubt_are_given_to_nobody) {
  for (const char* id : {"n1", "n2", "n3", "n4"}) rig_.driver.add_node(node(id));
  rig_.run_for(6s);
  hide_all_but_one();
  rig_.run_for(6s);
  rig_.create(claim_spec("c1", 3));
  rig_.run_for(5s);
  EXPECT_EQ(rig_.claim("c1")->status.nodes, std::vector<model::Id>{"n4"});
  show_all();
  EXPECT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", ready); }, 6s));
}

TEST_F(NodeTest, half_of_the_machines_may_be_lost_at_once) {
  claim_four();
  rig_.driver.hide_node("n1");
  rig_.driver.hide_node("n2");
  EXPECT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", error); }, 6s));
}

TEST_F(NodeTest, declared_machines_are_gone_with_their_declaration) {
  for (const char* id : {"n1", "n2", "n3"}) {
    model::Node machine = node(id);
    machine.source = model::NodeSource::declared;
    rig_.driver.add_node(machine);
  }
  rig_.run_for(1s);
  ASSERT_TRUE(record("n3").has_value());
  for (const char* id : {"n1", "n2", "n3"}) rig_.driver.hide_node(id);
  EXPECT_TRUE(rig_.run_until([this] { return !record("n1") && !record("n3"); }, 6s));
}

// ---- joined machines

TEST_F(NodeTest, a_machine_that_joined_serves_though_no_listing_names_it) {
  rig_.driver.add_node(node("n1", 1));
  rig_.run_for(1s);
  join(node("j1"));
  deploy(deployment_spec("d1", 1, 4));
  EXPECT_EQ(homes("d1"), (std::vector<model::Id>{"j1"}));
  rig_.run_for(2min);
  EXPECT_TRUE(record("j1").has_value());
  EXPECT_TRUE(record("j1")->schedulable);
}

TEST_F(NodeTest, a_waiting_claim_gets_a_machine_that_joins) {
  rig_.create(claim_spec("c1", 1));
  rig_.run_for(1s);
  EXPECT_TRUE(rig_.claim_is("c1", creating));
  join(node("j1"));
  EXPECT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", ready); }, 1s));
}

TEST_F(NodeTest, replicas_leave_a_node_that_is_removed_under_them) {
  join(node("j1"));
  deploy(deployment_spec("d1"));
  join(node("j2"));
  rig_.run_for(1s);
  remove("j1");
  ASSERT_TRUE(rig_.run_until([this] {
    return rig_.replicas("d1").size() == 1 && homes("d1") == std::vector<model::Id>{"j2"};
  }));
  EXPECT_TRUE(rig_.deployment_is("d1", ready));
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, ready}));
}

// ---- draining

TEST_F(NodeTest, a_drained_node_is_left_once_a_replacement_serves) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1", 2));
  rig_.driver.add_node(node("n2"));
  rig_.run_for(6s);
  rig_.driver.script({.start_delay = 10s});
  set_draining("n1", true);
  rig_.run_for(5s);
  EXPECT_EQ(rig_.routable_count("d1"), 2U) << "until the new ones are ready";
  ASSERT_TRUE(rig_.run_until([this] {
    return rig_.replicas("d1").size() == 2 && homes("d1") == std::vector<model::Id>(2, "n2");
  }));
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, ready}));
  // The listing does not take the administrator's word back.
  rig_.run_for(1min);
  EXPECT_TRUE(record("n1")->is_draining);
  rig_.update_deployment("d1", [](auto& spec) { spec.autoscaling = {.min = 6, .max = 6}; });
  rig_.run_for(1min);
  EXPECT_EQ(homes("d1"), std::vector<model::Id>(4, "n2")) << "nothing new on a drained node";
  set_draining("n1", false);
  EXPECT_TRUE(rig_.run_until([this] { return homes("d1").size() == 6; }, 1s));
}

TEST_F(NodeTest, a_drained_node_without_a_replacement_is_left_within_the_drain_limit) {
  rig_.driver.add_node(node("n1"));
  deploy(deployment_spec("d1"));
  rig_.busy.insert(rig_.replicas("d1")[0].id);
  set_draining("n1", true);
  rig_.run_for(20s);
  EXPECT_EQ(rig_.engines().size(), 1U) << "a request is still running";
  ASSERT_TRUE(rig_.run_until([this] { return rig_.engines().empty(); }, 20s));
  rig_.run_for(1s);
  EXPECT_TRUE(rig_.replicas("d1").empty());
}

TEST_F(NodeTest, a_claim_takes_another_node_for_one_that_is_drained) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", ready); }));
  deploy(deployment_spec("d1"));
  rig_.driver.add_node(node("n2"));
  rig_.run_for(6s);
  set_draining("n1", true);
  ASSERT_TRUE(rig_.run_until([this] {
    return rig_.replicas("d1").size() == 1 && homes("d1") == std::vector<model::Id>{"n2"};
  }));
  rig_.run_for(1s);
  EXPECT_EQ(rig_.claim("c1")->status.nodes, (std::vector<model::Id>{"n2"}));
  EXPECT_TRUE(rig_.claim_is("c1", ready));
  EXPECT_EQ(rig_.replicas("d1")[0].claim_id, "c1");
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, ready}));
}

TEST_F(NodeTest, a_claim_without_another_node_waits_until_the_drained_one_is_back) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", ready); }));
  set_draining("n1", true);
  ASSERT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", error); }, 1s));
  EXPECT_EQ(rig_.claim("c1")->status.pending_instances, 1U);
  set_draining("n1", false);
  EXPECT_TRUE(rig_.run_until([this] { return rig_.claim_is("c1", ready); }, 1s));
}

}  // namespace
}  // namespace staithe::reconcile
