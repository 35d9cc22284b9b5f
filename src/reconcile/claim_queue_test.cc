#include "reconcile/claim_queue.h"

#include <gtest/gtest.h>

#include <chrono>

namespace staithe::reconcile {
namespace {

using Ids = std::vector<model::Id>;

model::Node machine(model::Id id, std::string zone = "ZONE-A") {
  return {.id = std::move(id),
          .zone = std::move(zone),
          .instance_type = "gpu-4x",
          .gpu_count = 4,
          .owner_organization = {}};
}

WaitingClaim claim(model::Id id, int age, std::uint32_t missing,
                   std::vector<std::string> zones = {"ZONE-A"}) {
  return {.age = {Timestamp{std::chrono::seconds{age}}, std::move(id)},
          .owner = {},
          .instance_type = "gpu-4x",
          .zones = std::move(zones),
          .missing = missing};
}

TEST(ClaimQueue, K01_of_two_claims_for_the_last_nodes_the_older_gets_all_of_them) {
  ClaimQueue queue;
  queue.set_free(machine("n1"));
  queue.set_free(machine("n2"));
  queue.set_waiting(claim("young", 2, 2));
  queue.set_waiting(claim("old", 1, 2));
  EXPECT_EQ(queue.share_of("old"), (Ids{"n1", "n2"}));
  EXPECT_EQ(queue.share_of("young"), Ids{});
}

TEST(ClaimQueue, K05_a_small_one_passes_a_big_one_only_with_what_that_cannot_use) {
  ClaimQueue queue;
  queue.set_waiting(claim("big", 1, 8));
  queue.set_waiting(claim("small", 2, 1, {"ZONE-A", "ZONE-B"}));
  queue.set_free(machine("a"));
  EXPECT_EQ(queue.share_of("big"), (Ids{"a"})) << "it gets there node by node";
  EXPECT_EQ(queue.share_of("small"), Ids{});
  queue.set_free(machine("b", "ZONE-B"));
  EXPECT_EQ(queue.share_of("small"), (Ids{"b"}));
}

TEST(ClaimQueue, takes_zone_by_zone_in_the_claims_order) {
  ClaimQueue queue;
  for (const char* id : {"a1", "a2"}) queue.set_free(machine(id));
  for (const char* id : {"b1", "b2"}) queue.set_free(machine(id, "ZONE-B"));
  queue.set_waiting(claim("c", 1, 3, {"ZONE-B", "ZONE-A"}));
  EXPECT_EQ(queue.share_of("c"), (Ids{"b1", "b2", "a1"}));
}

TEST(ClaimQueue, a_share_that_was_taken_as_meant_changes_nothing_for_others) {
  ClaimQueue queue;
  queue.set_free(machine("n1"));
  queue.set_free(machine("n2"));
  queue.set_waiting(claim("old", 1, 1));
  queue.set_waiting(claim("young", 2, 2));
  EXPECT_EQ(queue.take_touched(), (std::set<model::Id>{"old", "young"}));
  queue.set_taken("n1", "old");
  queue.set_waiting(claim("old", 1, 0));
  EXPECT_EQ(queue.share_of("old"), Ids{});
  EXPECT_EQ(queue.share_of("young"), (Ids{"n2"}));
  EXPECT_EQ(queue.take_touched(), std::set<model::Id>{});
}

TEST(ClaimQueue, a_node_that_somebody_else_took_is_made_up_for) {
  ClaimQueue queue;
  queue.set_free(machine("n1"));
  queue.set_free(machine("n2"));
  queue.set_waiting(claim("old", 1, 1));
  queue.set_waiting(claim("young", 2, 1));
  queue.set_taken("n1", "");
  EXPECT_EQ(queue.share_of("old"), (Ids{"n2"}));
  EXPECT_EQ(queue.share_of("young"), Ids{});
  EXPECT_EQ(queue.take_touched(), (std::set<model::Id>{"old", "young"}));
}

TEST(ClaimQueue, a_claim_that_waits_no_more_leaves_its_share_to_the_next) {
  ClaimQueue queue;
  queue.set_waiting(claim("old", 1, 1));
  queue.set_waiting(claim("young", 2, 1));
  queue.set_free(machine("n1"));
  EXPECT_EQ(queue.share_of("young"), Ids{});
  queue.remove_waiting("old");
  EXPECT_EQ(queue.share_of("young"), (Ids{"n1"}));
}

TEST(ClaimQueue, keeps_owners_types_and_zones_apart) {
  ClaimQueue queue;
  model::Node own = machine("own");
  own.owner_organization = "cw0001";
  model::Node other_type = machine("other-type");
  other_type.instance_type = "cpu-1x";
  queue.set_free(own);
  queue.set_free(other_type);
  queue.set_free(machine("other-zone", "ZONE-B"));
  queue.set_waiting(claim("managed", 1, 9));
  EXPECT_EQ(queue.share_of("managed"), Ids{});
  WaitingClaim customer = claim("customer", 2, 9);
  customer.owner = "cw0001";
  queue.set_waiting(customer);
  EXPECT_EQ(queue.share_of("customer"), (Ids{"own"}));
}

}  // namespace
}  // namespace staithe::reconcile
