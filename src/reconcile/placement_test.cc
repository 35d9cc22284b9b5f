#include "reconcile/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"

namespace staithe::reconcile {
namespace {

using enum model::CapacityClass;

NodeSlots slots_on(model::Id id, std::vector<std::uint32_t> free, std::string zone = "ZONE-A",
                   model::Id claim_id = {}, std::string organization = {}) {
  return {.node_id = std::move(id),
          .zone = std::move(zone),
          .instance_type = "gpu-4x",
          .gpu_count = 4,
          .free_slots = std::move(free),
          .claim_id = std::move(claim_id),
          .organization = std::move(organization)};
}

PlacementRequest request(std::uint32_t gpu_count,
                         std::vector<model::CapacityClass> classes = {reserved, on_demand}) {
  return {.organization = "cw0001",
          .instance_type = "gpu-4x",
          .gpu_count = gpu_count,
          .zones = std::nullopt,
          .classes = std::move(classes)};
}

TEST(Place, packs_onto_the_fullest_node_that_fits) {
  Slots slots{slots_on("empty", {0, 1, 2, 3}), slots_on("full", {3}), slots_on("half", {1, 3})};
  EXPECT_EQ(place(slots, request(2))->parts[0].node_id, "half");
  EXPECT_EQ(place(slots, request(1))->parts[0].node_id, "full");
  EXPECT_EQ(place(slots, request(4))->parts[0].gpu_slots, (std::vector<std::uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(place(slots, request(1)), std::nullopt);
}

TEST(Place, takes_the_first_class_that_has_room) {
  Slots slots{slots_on("shared", {0}), slots_on("own", {0, 1}, "ZONE-A", "c1", "cw0001"),
              slots_on("foreign", {0, 1}, "ZONE-A", "c2", "cw0002")};
  Slots other_order = slots;
  EXPECT_EQ(place(slots, request(1))->claim_id, "c1");
  EXPECT_EQ(place(other_order, request(1, {on_demand, reserved}))->parts[0].node_id, "shared");
  EXPECT_EQ(place(other_order, request(1, {on_demand, reserved}))->parts[0].node_id, "own");
  EXPECT_EQ(place(other_order, request(1, {on_demand})), std::nullopt);
}

TEST(Place, stays_in_the_zones_it_may_use_and_prefers_the_one_with_most_room) {
  Slots slots{slots_on("a", {0, 1}, "ZONE-A"), slots_on("b1", {0, 1}, "ZONE-B"),
              slots_on("b2", {0, 1, 2}, "ZONE-B")};
  Slots limited = slots;
  EXPECT_EQ(place(slots, request(2))->parts[0].node_id, "b1");
  PlacementRequest only_a = request(2);
  only_a.zones = {"ZONE-A"};
  EXPECT_EQ(place(limited, only_a)->parts[0].node_id, "a");
  EXPECT_EQ(place(limited, only_a), std::nullopt);
}

TEST(Place, takes_whole_free_nodes_of_one_zone_for_a_replica_that_spans_them) {
  Slots slots{slots_on("a1", {0, 1, 2, 3}, "ZONE-A"), slots_on("a2", {0, 1, 2}, "ZONE-A"),
              slots_on("b1", {0, 1, 2, 3}, "ZONE-B"), slots_on("b2", {0, 1, 2, 3}, "ZONE-B")};
  PlacementRequest wide = request(8);
  EXPECT_EQ(place(slots, wide), std::nullopt) << "the engine stays on one node";
  wide.may_span = true;
  const auto placement = place(slots, wide);
  ASSERT_TRUE(placement.has_value());
  EXPECT_EQ(placement->zone, "ZONE-B");
  EXPECT_EQ(placement->parts,
            (std::vector<model::ReplicaPart>{{"b1", {0, 1, 2, 3}}, {"b2", {0, 1, 2, 3}}}));
  EXPECT_EQ(place(slots, wide), std::nullopt);
  Slots one_zone_has_too_few{slots_on("a1", {0, 1, 2, 3}, "ZONE-A"),
                             slots_on("b1", {0, 1, 2, 3}, "ZONE-B")};
  EXPECT_EQ(place(one_zone_has_too_few, wide), std::nullopt);
}

TEST(ExplainShortage, names_the_reason) {
  const Slots slots{slots_on("a", {0}), slots_on("foreign", {0, 1}, "ZONE-B", "c2", "cw0002")};
  EXPECT_EQ(explain_shortage(slots, request(2)).reason, "InsufficientCapacity");
  EXPECT_EQ(explain_shortage(slots, request(2)).zones,
            (std::vector<Shortage::Zone>{{"ZONE-A", 1}}));
  EXPECT_EQ(explain_shortage(slots, request(1, {reserved})).reason, "NoReservedCapacity");
  PlacementRequest other_type = request(1);
  other_type.instance_type = "cpu-1x";
  EXPECT_EQ(explain_shortage(slots, other_type).reason, "NoMatchingZone");
  PlacementRequest nowhere = request(1);
  nowhere.zones.emplace();
  EXPECT_EQ(explain_shortage(slots, nowhere).reason, "NoMatchingZone");
  EXPECT_NE(explain_shortage(slots, request(8)).message.find("do not span"), std::string::npos);
}

TEST(Place, K04_never_sells_a_slot_twice_and_leaves_none_that_fits) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SeededRandom random(seed);
    Slots slots;
    const std::uint64_t node_count = random.below(6);
    for (std::uint64_t i = 0; i < node_count; ++i) {
      std::vector<std::uint32_t> free;
      for (std::uint32_t slot = 0; slot < 4; ++slot) {
        if (random.below(3) != 0) free.push_back(slot);
      }
      const bool is_claimed = random.below(2) == 0;
      slots.push_back(slots_on("n" + std::to_string(i), std::move(free),
                               random.below(2) == 0 ? "ZONE-A" : "ZONE-B", is_claimed ? "c1" : "",
                               is_claimed ? "cw0001" : ""));
    }
    std::map<model::Id, std::vector<std::uint32_t>> free_before;
    for (const NodeSlots& node : slots) free_before[node.node_id] = node.free_slots;
    for (int i = 0; i < 12; ++i) {
      const PlacementRequest wanted = request(1U << random.below(3));
      Slots same = slots;
      const auto placement = place(slots, wanted);
      ASSERT_EQ(place(same, wanted), placement) << "not stable, seed " << seed;
      const bool is_room = std::any_of(same.begin(), same.end(), [&wanted](const NodeSlots& node) {
        return node.free_slots.size() >= wanted.gpu_count;
      });
      if (!placement) {
        ASSERT_FALSE(is_room) << "seed " << seed;
        continue;
      }
      ASSERT_EQ(placement->parts[0].gpu_slots.size(), wanted.gpu_count);
      auto& left = free_before[placement->parts[0].node_id];
      for (const std::uint32_t slot : placement->parts[0].gpu_slots) {
        const auto at = std::find(left.begin(), left.end(), slot);
        ASSERT_NE(at, left.end()) << "slot sold twice, seed " << seed;
        left.erase(at);
      }
    }
  }
}

}  // namespace
}  // namespace staithe::reconcile
