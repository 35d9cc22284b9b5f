#include "reconcile/claim_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "base/random.h"

namespace staithe::reconcile {
namespace {

using Ids = std::vector<model::Id>;

struct Machine {
  model::Node node;
  model::Id holder;
  std::uint32_t replica_count = 0;
  Timestamp oldest_replica;
};

// The machines, and the claims that are older than the one being planned and wait as well.
struct Machines {
  std::vector<Machine> nodes;
  std::vector<model::CapacityClaim> waiting_before;
};

Machine machine(model::Id id, std::string zone = "ZONE-A", model::Id holder = {},
                std::uint32_t replica_count = 0, std::string owner = {}) {
  return {.node = {.id = std::move(id),
                   .zone = std::move(zone),
                   .instance_type = "gpu-4x",
                   .gpu_count = 4,
                   .owner_organization = std::move(owner)},
          .holder = std::move(holder),
          .replica_count = replica_count,
          .oldest_replica = {}};
}

model::CapacityClaim wants(std::uint32_t count, std::vector<std::string> zones = {"zone-a"}) {
  model::CapacityClaim claim;
  claim.spec.id = "c1";
  claim.spec.organization_id = "cw0001";
  claim.spec.resources = {.instance_id = "GPU-4X",
                          .instance_count = count,
                          .capacity_type = model::CapacityType::managed,
                          .zones = std::move(zones)};
  claim.status.status = model::Status::creating;
  return claim;
}

model::CapacityClaim holding(model::CapacityClaim claim, Ids nodes) {
  claim.status.allocated_instances = static_cast<std::uint32_t>(nodes.size());
  claim.status.nodes = std::move(nodes);
  return claim;
}

ClaimView view_of(const model::CapacityClaim& claim, const Machines& machines) {
  ClaimView view{.claim = claim, .held = {}, .offered = {}};
  const Ids& held = claim.status.nodes;
  for (const Machine& each : machines.nodes) {
    if (std::find(held.begin(), held.end(), each.node.id) == held.end()) continue;
    view.held.push_back({each.node, each.replica_count, each.oldest_replica});
  }
  return view;
}

// What the control plane does: share out what is free, then plan by the claim's part of it.
ClaimPlan plan_claim(const model::CapacityClaim& claim, const Machines& machines) {
  ClaimQueue queue;
  for (const Machine& each : machines.nodes) {
    if (each.holder.empty() && each.node.schedulable && each.replica_count == 0) {
      queue.set_free(each.node);
    }
  }
  for (const auto& older : machines.waiting_before) {
    queue.set_waiting(need_of(view_of(older, machines)));
  }
  ClaimView view = view_of(claim, machines);
  queue.set_waiting(need_of(view));
  for (const model::Id& id : queue.share_of(claim.spec.id)) {
    const auto node = std::find_if(machines.nodes.begin(), machines.nodes.end(),
                                   [&id](const Machine& each) { return each.node.id == id; });
    view.offered.push_back(node->node);
  }
  return reconcile::plan_claim(view);
}

bool is_older(const model::CapacityClaim& left, const model::CapacityClaim& right) {
  return std::tie(left.status.created_at, left.spec.id) <
         std::tie(right.status.created_at, right.spec.id);
}

const model::Condition& allocated(const ClaimPlan& plan, std::string_view zone = {}) {
  const auto* found = model::find_condition(plan.conditions, "Allocated", zone);
  static const model::Condition none;
  return found == nullptr ? none : *found;
}

TEST(PlanClaim, takes_nodes_zone_by_zone_in_the_claims_order) {
  const Machines fleet{.nodes = {machine("a1", "ZONE-A"), machine("a2", "ZONE-A"),
                                 machine("b1", "ZONE-B"), machine("b2", "ZONE-B")}};
  const ClaimPlan plan = plan_claim(wants(3, {"zone-b", "ZONE-A"}), fleet);
  EXPECT_EQ(plan.nodes, (Ids{"b1", "b2", "a1"}));
  EXPECT_EQ(plan.reserve, (Ids{"b1", "b2", "a1"}));
  EXPECT_EQ(plan.pending, 0U);
  EXPECT_TRUE(plan.facts.is_settled);
  EXPECT_EQ(allocated(plan).reason, "AllAllocated");
}

TEST(PlanClaim, P10_says_what_is_missing_in_each_zone) {
  const Machines fleet{
      .nodes = {machine("a1"), machine("a2"), machine("a3"), machine("a4"), machine("a5")}};
  const ClaimPlan plan = plan_claim(wants(8, {"ZONE-A", "ZONE-B"}), fleet);
  EXPECT_EQ(plan.allocated, 5U);
  EXPECT_EQ(plan.pending, 3U);
  EXPECT_FALSE(plan.facts.is_settled);
  EXPECT_EQ(allocated(plan).reason, "Partial");
  EXPECT_NE(allocated(plan).message.find("needed 8, free 5, missing 3"), std::string::npos);
  EXPECT_EQ(allocated(plan, "ZONE-A").message, "needed 8, free 5, missing 3");
  EXPECT_EQ(allocated(plan, "ZONE-B").message, "needed 3, free 0, missing 3");
  EXPECT_EQ(allocated(plan, "ZONE-B").reason, "InsufficientCapacity");
}

TEST(PlanClaim, keeps_held_nodes_when_the_claim_grows) {
  const Machines fleet{.nodes = {machine("n0"), machine("n1", "ZONE-A", "c1", 2), machine("n2")}};
  const ClaimPlan plan = plan_claim(holding(wants(2), {"n1"}), fleet);
  EXPECT_EQ(plan.nodes, (Ids{"n1", "n0"}));
  EXPECT_EQ(plan.reserve, (Ids{"n0"}));
  EXPECT_TRUE(plan.release.empty());
}

TEST(PlanClaim, lets_go_of_empty_nodes_first_and_of_busy_ones_only_once_they_are_empty) {
  Machines fleet{.nodes = {machine("n1", "ZONE-A", "c1", 1), machine("n2", "ZONE-A", "c1", 0),
                           machine("n3", "ZONE-A", "c1", 1)}};
  fleet.nodes[0].oldest_replica = Timestamp{std::chrono::seconds{9}};
  fleet.nodes[2].oldest_replica = Timestamp{std::chrono::seconds{1}};
  model::CapacityClaim claim = holding(wants(1), {"n1", "n2", "n3"});
  const ClaimPlan plan = plan_claim(claim, fleet);
  // The node whose replicas are older stays; the other is emptied first.
  EXPECT_EQ(plan.nodes, (Ids{"n3", "n1"}));
  EXPECT_EQ(plan.allocated, 1U);
  EXPECT_EQ(plan.release, (Ids{"n2"}));
  EXPECT_FALSE(plan.facts.is_settled);

  claim.status.nodes = plan.nodes;
  claim.status.allocated_instances = plan.allocated;
  EXPECT_TRUE(may_use(claim, "n3"));
  EXPECT_FALSE(may_use(claim, "n1"));
  EXPECT_TRUE(must_leave(claim, "n1", &fleet.nodes[0].node));
  fleet.nodes[0].replica_count = 0;
  const ClaimPlan later = plan_claim(claim, fleet);
  EXPECT_EQ(later.nodes, (Ids{"n3"}));
  EXPECT_TRUE(later.facts.is_settled);
}

TEST(PlanClaim, takes_no_node_that_an_older_waiting_claim_could_use) {
  model::CapacityClaim older = wants(2);
  older.spec.id = "c0";
  const Machines fleet{.nodes = {machine("n1"), machine("n2"), machine("n3")},
                       .waiting_before = {older}};
  EXPECT_EQ(plan_claim(wants(2), fleet).nodes, (Ids{"n3"}));
}

TEST(PlanClaim, takes_what_an_older_claim_cannot_use) {
  model::CapacityClaim older = wants(2, {"zone-b"});
  older.spec.id = "c0";
  const Machines fleet{.nodes = {machine("n1"), machine("b1", "ZONE-B")},
                       .waiting_before = {older}};
  EXPECT_EQ(plan_claim(wants(1), fleet).nodes, (Ids{"n1"}));
}

TEST(PlanClaim, never_takes_a_node_that_is_held_busy_unschedulable_or_of_another_type) {
  Machines fleet{.nodes = {machine("held", "ZONE-A", "other"), machine("busy", "ZONE-A", "", 1),
                           machine("cordoned"), machine("other-type")}};
  fleet.nodes[2].node.schedulable = false;
  fleet.nodes[3].node.instance_type = "cpu-1x";
  const ClaimPlan plan = plan_claim(wants(1), fleet);
  EXPECT_TRUE(plan.nodes.empty());
  EXPECT_EQ(plan.pending, 1U);
}

TEST(PlanClaim, gives_customer_claims_the_organizations_own_nodes_and_nobody_elses) {
  const Machines fleet{.nodes = {machine("managed"), machine("own", "ZONE-A", "", 0, "cw0001"),
                                 machine("foreign", "ZONE-A", "", 0, "cw0002")}};
  model::CapacityClaim claim = wants(2);
  claim.spec.resources.capacity_type = model::CapacityType::customer;
  const ClaimPlan plan = plan_claim(claim, fleet);
  EXPECT_EQ(plan.nodes, (Ids{"own"}));
  EXPECT_EQ(allocated(plan).reason, "NodesJoining");
  EXPECT_EQ(plan_claim(wants(3), fleet).nodes, (Ids{"managed"}));
}

TEST(PlanClaim, keeps_a_lost_node_until_another_replaces_it) {
  Machines fleet{.nodes = {machine("n1", "ZONE-A", "c1", 1), machine("n2", "ZONE-A", "c1", 1)}};
  fleet.nodes[1].node.schedulable = false;
  model::CapacityClaim claim = holding(wants(2), {"n1", "n2"});
  ClaimPlan plan = plan_claim(claim, fleet);
  EXPECT_EQ(plan.nodes, (Ids{"n1", "n2"}));
  EXPECT_EQ(plan.allocated, 1U);
  EXPECT_EQ(plan.pending, 1U);
  EXPECT_FALSE(plan.facts.is_minimum_met);
  claim.status.allocated_instances = plan.allocated;
  // Its engines may still run: nobody has to leave.
  EXPECT_FALSE(must_leave(claim, "n2", &fleet.nodes[1].node));

  fleet.nodes.push_back(machine("n3"));
  plan = plan_claim(claim, fleet);
  EXPECT_EQ(plan.nodes, (Ids{"n1", "n3", "n2"}));
  EXPECT_EQ(plan.pending, 0U);
  claim.status.nodes = plan.nodes;
  claim.status.allocated_instances = plan.allocated;
  EXPECT_TRUE(must_leave(claim, "n2", &fleet.nodes[1].node));
}

TEST(PlanClaim, K02_deletes_by_emptying_first) {
  model::CapacityClaim claim = holding(wants(2), {"n1", "n2"});
  claim.status.status = model::Status::deleting;
  Machines fleet{.nodes = {machine("n1", "ZONE-A", "c1", 1), machine("n2", "ZONE-A", "c1")}};
  ClaimPlan plan = plan_claim(claim, fleet);
  EXPECT_EQ(plan.nodes, (Ids{"n1"}));
  EXPECT_EQ(plan.release, (Ids{"n2"}));
  EXPECT_FALSE(plan.is_gone);
  EXPECT_TRUE(must_leave(claim, "n1", &fleet.nodes[0].node));
  fleet.nodes[0].replica_count = 0;
  plan = plan_claim(claim, fleet);
  EXPECT_TRUE(plan.nodes.empty());
  EXPECT_TRUE(plan.is_gone);
}

TEST(PlanClaim, K07_keeps_its_nodes_when_its_zones_come_in_another_order) {
  const Machines fleet{.nodes = {machine("a1", "ZONE-A", "c1", 1), machine("b1", "ZONE-B"),
                                 machine("b2", "ZONE-B")}};
  const ClaimPlan plan = plan_claim(holding(wants(1, {"zone-b", "zone-a"}), {"a1"}), fleet);
  EXPECT_EQ(plan.nodes, (Ids{"a1"}));
  EXPECT_TRUE(plan.reserve.empty());
  EXPECT_TRUE(plan.release.empty());
  EXPECT_TRUE(plan.facts.is_settled);
}

TEST(PlanClaim, re_allocates_when_the_spec_asks_for_another_zone) {
  const Machines fleet{.nodes = {machine("a1", "ZONE-A", "c1", 1), machine("b1", "ZONE-B")}};
  const ClaimPlan plan = plan_claim(holding(wants(1, {"zone-b"}), {"a1"}), fleet);
  EXPECT_EQ(plan.nodes, (Ids{"b1", "a1"}));
  EXPECT_EQ(plan.allocated, 1U);
  EXPECT_FALSE(plan.facts.is_settled);
}

// Random fleets and claims, planned in any order, again and again.
TEST(PlanClaim, K01_never_oversells_and_comes_to_rest_whatever_the_fleet) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SeededRandom random(seed);
    Machines machines;
    const std::uint64_t node_count = random.below(12);
    for (std::uint64_t i = 0; i < node_count; ++i) {
      machines.nodes.push_back(
          machine("n" + std::to_string(i), random.below(2) == 0 ? "ZONE-A" : "ZONE-B", "",
                  random.below(6) == 0 ? 1 : 0, random.below(5) == 0 ? "cw0001" : ""));
      machines.nodes.back().node.schedulable = random.below(8) != 0;
    }
    std::vector<model::CapacityClaim> claims;
    const std::uint64_t claim_count = 1 + random.below(4);
    for (std::uint64_t i = 0; i < claim_count; ++i) {
      claims.push_back(wants(static_cast<std::uint32_t>(1 + random.below(5)),
                             random.below(2) == 0 ? std::vector<std::string>{"ZONE-A", "ZONE-B"}
                                                  : std::vector<std::string>{"ZONE-B"}));
      claims.back().spec.id = "c" + std::to_string(i);
      claims.back().status.created_at = Timestamp{std::chrono::seconds{i}};
      if (random.below(4) == 0) {
        claims.back().spec.resources.capacity_type = model::CapacityType::customer;
      }
    }
    const auto plan_one = [&](model::CapacityClaim& claim) {
      Machines fleet = machines;
      for (const auto& each : claims) {
        for (auto& node : fleet.nodes) {
          const auto& held = each.status.nodes;
          if (std::find(held.begin(), held.end(), node.node.id) != held.end()) {
            node.holder = each.spec.id;
          }
        }
        if (is_waiting(each) && is_older(each, claim)) fleet.waiting_before.push_back(each);
      }
      return plan_claim(claim, fleet);
    };
    for (int round = 0; round < 20; ++round) {
      model::CapacityClaim& claim = claims[random.below(claims.size())];
      const ClaimPlan plan = plan_one(claim);
      ASSERT_EQ(plan.allocated + plan.pending, claim.spec.resources.instance_count);
      claim.status.nodes = plan.nodes;
      claim.status.allocated_instances = plan.allocated;
      std::set<model::Id> taken;
      for (const auto& each : claims) {
        for (const model::Id& id : each.status.nodes) {
          ASSERT_TRUE(taken.insert(id).second) << "seed " << seed << " node " << id;
        }
      }
      const ClaimPlan again = plan_one(claim);
      ASSERT_EQ(again.nodes, plan.nodes) << "seed " << seed;
      ASSERT_TRUE(again.reserve.empty());
    }
    // At rest no claim waits for a node that is free and fits it.
    for (model::CapacityClaim& claim : claims) {
      const ClaimPlan plan = plan_one(claim);
      claim.status.nodes = plan.nodes;
      claim.status.allocated_instances = plan.allocated;
    }
    for (model::CapacityClaim& claim : claims) {
      ASSERT_TRUE(plan_one(claim).reserve.empty()) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace staithe::reconcile
