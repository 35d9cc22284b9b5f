#include "reconcile/fleet.h"

#include <gtest/gtest.h>

namespace staithe::reconcile {
namespace {

using enum model::CapacityClass;
using Slots = std::vector<std::uint32_t>;
using Parts = std::vector<model::ReplicaPart>;

FleetNode machine(model::Id id, std::string zone = "ZONE-A", std::string organization = {}) {
  return {.id = std::move(id),
          .zone = std::move(zone),
          .instance_type = "gpu-4x",
          .gpu_count = 4,
          .organization = organization,
          .claim_id = organization.empty() ? "" : "claim-of-" + organization};
}

PlacementRequest request(std::uint32_t gpu_count,
                         std::vector<model::CapacityClass> classes = {reserved, on_demand}) {
  PlacementRequest request;
  request.organization = "cw0001";
  request.instance_type = "gpu-4x";
  request.gpu_count = gpu_count;
  request.classes = std::move(classes);
  return request;
}

class FleetTest : public ::testing::Test {
 protected:
  // All but `free` is held.
  void add(const FleetNode& node, const Slots& free = {0, 1, 2, 3}) {
    fleet_.set(node);
    for (std::uint32_t slot = 0; slot < node.gpu_count; ++slot) {
      if (std::find(free.begin(), free.end(), slot) == free.end()) hold(node.id, {slot});
    }
  }
  void hold(const model::Id& node_id, const Slots& slots) {
    fleet_.take({{node_id, slots}}, Hold::firm);
  }
  // "node/slots" of the home that is found and taken.
  std::string place(const PlacementRequest& wanted) {
    const auto placement = fleet_.find(wanted);
    if (!placement) return "nowhere";
    fleet_.take(placement->parts, Hold::firm);
    std::string text;
    for (const model::ReplicaPart& part : placement->parts) {
      text += (text.empty() ? "" : " ") + part.node_id + "/";
      for (const std::uint32_t slot : part.gpu_slots) text += std::to_string(slot);
    }
    return text;
  }

  Fleet fleet_;
};

TEST_F(FleetTest, packs_onto_the_fullest_node_that_fits) {
  add(machine("empty"));
  add(machine("full"), {3});
  add(machine("half"), {1, 3});
  EXPECT_EQ(place(request(2)), "half/13");
  EXPECT_EQ(place(request(1)), "full/3");
  EXPECT_EQ(place(request(4)), "empty/0123");
  EXPECT_EQ(place(request(1)), "nowhere");
}

TEST_F(FleetTest, takes_the_first_class_that_has_room) {
  add(machine("shared"), {0});
  add(machine("own", "ZONE-A", "cw0001"), {0, 1});
  add(machine("foreign", "ZONE-A", "cw0002"));
  EXPECT_EQ(fleet_.find(request(1))->claim_id, "claim-of-cw0001");
  EXPECT_EQ(place(request(1, {on_demand, reserved})), "shared/0");
  EXPECT_EQ(place(request(1, {on_demand, reserved})), "own/0");
  EXPECT_EQ(place(request(1, {on_demand})), "nowhere");
}

TEST_F(FleetTest, stays_in_the_zones_it_may_use_and_prefers_the_one_with_most_room) {
  add(machine("a", "ZONE-A"), {0, 1});
  add(machine("b1", "ZONE-B"), {0, 1});
  add(machine("b2", "ZONE-B"), {0, 1, 2});
  PlacementRequest only_a = request(2);
  only_a.zones = {"ZONE-A"};
  EXPECT_EQ(place(request(2)), "b1/01");
  EXPECT_EQ(place(only_a), "a/01");
  EXPECT_EQ(place(only_a), "nowhere");
}

TEST_F(FleetTest, spreads_a_deployment_over_the_zones_before_it_packs) {
  add(machine("a"), {0});
  add(machine("b", "ZONE-B"));
  PlacementRequest wanted = request(1);
  wanted.replicas_in = {{"ZONE-B", 1}};
  EXPECT_EQ(place(wanted), "a/0");
  wanted.replicas_in = {{"ZONE-A", 1}, {"ZONE-B", 1}};
  EXPECT_EQ(place(wanted), "b/0");
}

TEST_F(FleetTest, prefers_a_zone_that_has_the_weights_but_spreads_first) {
  add(machine("a"));
  add(machine("b", "ZONE-B"), {2});
  PlacementRequest wanted = request(1);
  wanted.preferred_zones = {"ZONE-B"};
  EXPECT_EQ(place(wanted), "b/2") << "though there is less room";
  EXPECT_EQ(place(wanted), "a/0") << "where it has no room another zone will do";
  add(machine("b", "ZONE-B"), {1});
  wanted.replicas_in = {{"ZONE-B", 1}};
  EXPECT_EQ(place(wanted), "a/1") << "no zone gets a second one before each has its first";
}

TEST_F(FleetTest, takes_whole_free_nodes_of_one_zone_for_a_replica_that_spans_them) {
  add(machine("a1", "ZONE-A"));
  add(machine("a2", "ZONE-A"), {0, 1, 2});
  add(machine("b1", "ZONE-B"));
  add(machine("b2", "ZONE-B"));
  PlacementRequest wide = request(8);
  EXPECT_EQ(place(wide), "nowhere") << "the engine stays on one node";
  wide.may_span = true;
  EXPECT_EQ(place(wide), "b1/0123 b2/0123");
  EXPECT_EQ(place(wide), "nowhere");
}

TEST_F(FleetTest, spans_claims_of_one_organization_and_never_claims_and_the_rest) {
  add(machine("shared"));
  add(machine("own", "ZONE-A", "cw0001"));
  add(machine("foreign", "ZONE-A", "cw0002"));
  PlacementRequest wide = request(8);
  wide.may_span = true;
  EXPECT_EQ(place(wide), "nowhere");
  FleetNode other = machine("own2", "ZONE-A", "cw0001");
  other.claim_id = "another-claim";
  add(other);
  EXPECT_EQ(place(wide), "own/0123 own2/0123");
}

TEST_F(FleetTest, stays_on_one_node_where_one_is_large_enough) {
  FleetNode large = machine("large");
  large.gpu_count = 8;
  add(machine("a1"));
  add(machine("a2"));
  add(large, {0, 1, 2, 3});
  PlacementRequest wide = request(8);
  wide.may_span = true;
  EXPECT_EQ(place(wide), "nowhere") << "it waits for the large one";
}

TEST_F(FleetTest, finds_what_will_be_free_once_somebody_has_left_only_when_asked) {
  add(machine("a"));
  fleet_.take({{"a", {0, 1, 2}}}, Hold::leaving);
  EXPECT_FALSE(fleet_.find(request(2)).has_value());
  const auto soon = fleet_.find(request(2), Horizon::soon);
  ASSERT_TRUE(soon.has_value());
  EXPECT_EQ(soon->parts, (Parts{{"a", {0, 3}}})) << "slots that are free already come first";
  fleet_.give_back({{"a", {0, 1, 2}}}, Hold::leaving);
  EXPECT_FALSE(fleet_.find(request(2), Horizon::soon).has_value()) << "nobody leaves any more";
  EXPECT_EQ(place(request(2)), "a/01");
}

TEST_F(FleetTest, remembers_what_is_held_on_a_node_that_goes_and_comes_back) {
  add(machine("a"), {3});
  EXPECT_TRUE(fleet_.remove("a"));
  EXPECT_FALSE(fleet_.remove("a"));
  EXPECT_EQ(place(request(1)), "nowhere");
  fleet_.give_back({{"a", {1}}}, Hold::firm);
  EXPECT_TRUE(fleet_.set(machine("a")));
  EXPECT_FALSE(fleet_.set(machine("a")));
  EXPECT_EQ(place(request(2)), "a/13");
}

TEST_F(FleetTest, puts_nothing_on_a_node_that_is_closed_and_nothing_beyond_its_slots) {
  FleetNode closed = machine("a");
  closed.is_open = false;
  add(closed);
  EXPECT_EQ(place(request(1)), "nowhere");
  closed.is_open = true;
  closed.gpu_count = 2;
  add(closed, {0, 1});
  hold("a", {0, 7, 4'000'000'000});
  EXPECT_EQ(place(request(1)), "a/1");
  EXPECT_EQ(place(request(1)), "nowhere");
}

TEST_F(FleetTest, frees_a_slot_only_when_its_last_holder_has_let_go) {
  add(machine("a"));
  hold("a", {0, 1, 2, 3});
  hold("a", {2});
  fleet_.give_back({{"a", {0, 1, 2, 3}}}, Hold::firm);
  EXPECT_EQ(place(request(4)), "nowhere");
  EXPECT_EQ(place(request(3)), "a/013");
}

TEST_F(FleetTest, an_overlay_leaves_no_trace) {
  add(machine("a"), {0, 1});
  {
    Overlay trial(fleet_);
    EXPECT_TRUE(trial.place(request(2)).has_value());
    trial.begin_leaving({{"a", {2, 3}}});
    EXPECT_EQ(trial.place(request(2), Horizon::soon)->parts, (Parts{{"a", {2, 3}}}));
    EXPECT_FALSE(fleet_.find(request(1)).has_value());
  }
  EXPECT_EQ(place(request(2)), "a/01");
  EXPECT_FALSE(fleet_.find(request(1), Horizon::soon).has_value());
}

TEST_F(FleetTest, P10_names_the_reason_why_there_is_no_room) {
  add(machine("a"), {0});
  add(machine("foreign", "ZONE-B", "cw0002"));
  EXPECT_EQ(fleet_.explain(request(2)).reason, "InsufficientCapacity");
  EXPECT_EQ(fleet_.explain(request(2)).zones, (std::vector<Shortage::Zone>{{"ZONE-A", 1}}));
  EXPECT_EQ(fleet_.explain(request(1, {reserved})).reason, "NoReservedCapacity");
  PlacementRequest other_type = request(1);
  other_type.instance_type = "cpu-1x";
  EXPECT_EQ(fleet_.explain(other_type).reason, "NoMatchingZone");
  PlacementRequest nowhere = request(1);
  nowhere.zones.emplace();
  EXPECT_EQ(fleet_.explain(nowhere).reason, "NoMatchingZone");
  EXPECT_NE(fleet_.explain(request(8)).message.find("do not span"), std::string::npos);
  PlacementRequest wide = request(8);
  wide.may_span = true;
  EXPECT_EQ(fleet_.explain(wide).zones, (std::vector<Shortage::Zone>{{"ZONE-A", 0}}))
      << "only whole nodes count";
}

}  // namespace
}  // namespace staithe::reconcile
