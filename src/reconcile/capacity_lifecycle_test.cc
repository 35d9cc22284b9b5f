#include <gtest/gtest.h>

#include "reconcile/testing/fixture.h"

// How machines are shared out, seen from outside.
namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::claim_spec;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

class CapacityTest : public testing::ReconcileTest {
 protected:
  CapacityTest() { rig_.create(gateway_spec("g1")); }

  static std::set<model::Id> nodes_of(const model::Replica& replica) {
    std::set<model::Id> ids;
    for (const model::ReplicaPart& part : replica.parts) ids.insert(part.node_id);
    return ids;
  }
};

TEST_F(CapacityTest, a_replica_that_spans_nodes_has_whole_ones_and_is_lost_with_one_of_them) {
  rig_.catalogue.engines["wide"].spans_nodes = true;
  for (const char* id : {"n1", "n2", "n3"}) rig_.driver.add_node(node(id, 4));
  auto spec = deployment_spec("d1", 1, 8);
  spec.runtime.engine = "wide";
  deploy(spec);
  ASSERT_EQ(rig_.replicas("d1").size(), 1U);
  EXPECT_EQ(nodes_of(rig_.replicas("d1")[0]), (std::set<model::Id>{"n1", "n2"}));
  EXPECT_EQ(model::count_gpus(rig_.replicas("d1")[0].parts), 8U);

  rig_.driver.remove_node("n2");
  rig_.start_loop();  // which looks at the machines first
  ASSERT_TRUE(rig_.run_until([&] {
    return rig_.deployment_is("d1", ready) && rig_.replicas("d1").size() == 1 &&
           nodes_of(rig_.replicas("d1")[0]) == std::set<model::Id>{"n1", "n3"};
  }));
  EXPECT_EQ(rig_.engines().size(), 1U);
}

TEST_F(CapacityTest, a_replica_goes_where_others_have_its_weights_before_where_there_is_most_room) {
  rig_.driver.add_node(node("a1"));
  deploy(deployment_spec("first"));
  rig_.driver.add_node(node("b1", 8, "ZONE-B"));
  rig_.start_loop();
  deploy(deployment_spec("same"));
  auto other = deployment_spec("other");
  other.model.path = "q";
  deploy(other);
  EXPECT_EQ(nodes_of(rig_.replicas("same")[0]), std::set<model::Id>{"a1"});
  EXPECT_EQ(nodes_of(rig_.replicas("other")[0]), std::set<model::Id>{"b1"});

  // A roll-out to the weights of the other one draws it there.
  rig_.update_deployment("same", [](model::DeploymentSpec& spec) { spec.model.path = "q"; });
  ASSERT_TRUE(rig_.run_until([&] {
    return rig_.deployment_is("same", ready) && rig_.replicas("same").size() == 1 &&
           nodes_of(rig_.replicas("same")[0]) == std::set<model::Id>{"b1"};
  }));
}

TEST_F(CapacityTest, P10_an_engine_that_stays_on_one_node_waits_and_says_so) {
  for (const char* id : {"n1", "n2"}) rig_.driver.add_node(node(id, 4));
  rig_.create(deployment_spec("d1", 1, 8));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.deployment_is("d1", creating));
  EXPECT_NE(Rig::message(rig_.deployment("d1"), "Scheduled").find("do not span"),
            std::string::npos);
}

TEST_F(CapacityTest, X11_the_higher_priority_gets_the_last_gpus_and_the_other_says_why_it_waits) {
  rig_.run_for(1s);
  auto low = deployment_spec("low", 2);
  low.autoscaling.priority = 100;
  auto high = deployment_spec("high", 2);
  high.autoscaling.priority = 900;
  rig_.create(low);
  rig_.create(high);
  rig_.run_for(1s);
  rig_.driver.add_node(node("n1", 2));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.deployment_is("high", ready); }));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.deployment_is("low", creating));
  EXPECT_TRUE(rig_.replicas("low").empty());
  EXPECT_EQ(Rig::condition(rig_.deployment("low"), "Scheduled"), "False/InsufficientCapacity");
  EXPECT_EQ(Rig::message(rig_.deployment("low"), "Scheduled", "ZONE-A"),
            "needed 2, free 0, missing 2 GPUs");
}

TEST_F(CapacityTest, K02_a_claim_that_shrinks_below_its_use_drains_the_newest_replicas) {
  for (const char* id : {"n1", "n2"}) rig_.driver.add_node(node(id, 1));
  rig_.create(claim_spec("c1", 2));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  auto reserved = deployment_spec("older");
  reserved.autoscaling.capacity_classes = {model::CapacityClass::reserved};
  deploy(reserved);
  reserved.id = reserved.name = "newer";
  deploy(reserved);
  const model::Id kept = rig_.replicas("older")[0].parts[0].node_id;
  rig_.update_claim("c1", [](auto& spec) { spec.resources.instance_count = 1; });
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  EXPECT_EQ(rig_.claim("c1")->status.nodes, (std::vector<model::Id>{kept}));
  EXPECT_TRUE(rig_.deployment_is("older", ready));
  EXPECT_TRUE(rig_.replicas("newer").empty());
  EXPECT_EQ(Rig::condition(rig_.deployment("newer"), "Scheduled"), "False/InsufficientCapacity");
}

TEST_F(CapacityTest, K05_a_small_claim_passes_a_big_one_only_with_nodes_that_one_cannot_use) {
  auto big = claim_spec("big", 3);
  big.resources.zones = {"ZONE-A"};
  auto small = claim_spec("small", 1);
  small.resources.zones = {"ZONE-A", "ZONE-B"};
  rig_.create(big);
  rig_.create(small);
  rig_.driver.add_node(node("a1"));
  rig_.driver.add_node(node("a2"));
  rig_.run_for(1min);
  EXPECT_EQ(rig_.claim("big")->status.allocated_instances, 2U);
  EXPECT_TRUE(rig_.claim_is("small", creating));
  auto elsewhere = node("b1");
  elsewhere.zone = "ZONE-B";
  rig_.driver.add_node(elsewhere);
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("small", ready); }, 10s));
}

}  // namespace
}  // namespace staithe::reconcile
