#include <gtest/gtest.h>

#include <fmt/format.h>

#include <atomic>
#include <latch>
#include <vector>

#include "base/thread.h"
#include "store/contract_fixture.h"
#include "store/records.h"

// Whoever plans may be wrong; the database is what makes selling anything twice impossible.
namespace staithe::store {
namespace {

model::CapacityClaim claim_on(const model::Id& id, std::vector<model::Id> nodes) {
  model::CapacityClaim claim;
  claim.spec.id = id;
  claim.spec.name = id;
  claim.spec.organization_id = "cw0001";
  claim.status.nodes = std::move(nodes);
  return claim;
}

model::Replica replica_on(const model::Id& id, std::vector<model::ReplicaPart> parts) {
  return {.id = id,
          .deployment_id = "deployment-of-" + id,
          .organization_id = "cw0001",
          .parts = std::move(parts),
          .claim_id = {}};
}

class OversellContract : public StoreContract {
 protected:
  // Every contender commits at the same moment from a thread of its own; how many got through.
  int race(const std::vector<Transaction>& contenders) {
    std::atomic<int> winners = 0;
    std::latch start(static_cast<std::ptrdiff_t>(contenders.size()));
    std::vector<Thread> threads;
    for (const Transaction& transaction : contenders) {
      threads.emplace_back("contender", [&] {
        start.arrive_and_wait();
        const Result<Commit> done = store().commit_and_wait(transaction);
        if (done) {
          winners += 1;
        } else {
          EXPECT_EQ(done.error().reason, reason_key_taken);
        }
      });
    }
    for (Thread& thread : threads) thread.join();
    return winners;
  }
};

TEST_P(OversellContract, K01_of_claims_that_take_one_node_at_the_same_moment_one_gets_it) {
  for (int round = 0; round < 20; ++round) {
    const model::Id contested = fmt::format("n{}", round);
    std::vector<Transaction> contenders;
    for (int i = 0; i < 8; ++i) {
      const model::Id id = fmt::format("c{}-{}", round, i);
      contenders.push_back({create_step(claim_on(id, {id + "-own", contested}))});
    }
    ASSERT_EQ(race(contenders), 1);
    const auto holder = store().find(claim_node_key(contested));
    ASSERT_TRUE(holder && *holder);
    // Those that lost hold nothing at all, not even the node that nobody else wanted.
    for (int i = 0; i < 8; ++i) {
      const model::Id id = fmt::format("c{}-{}", round, i);
      const auto own = store().find(claim_node_key(id + "-own"));
      EXPECT_EQ(own->has_value(), id == (*holder)->id);
    }
  }
}

TEST_P(OversellContract, K04_of_replicas_that_take_one_slot_at_the_same_moment_one_gets_it) {
  for (int round = 0; round < 20; ++round) {
    const model::Id node = fmt::format("n{}", round);
    std::vector<Transaction> contenders;
    for (std::uint32_t i = 0; i < 8; ++i) {
      // All want slot 0 of the node, half of them as a part of something larger.
      std::vector<model::ReplicaPart> parts{{node, {0, 1 + i}}};
      if (i % 2 == 0) parts.insert(parts.begin(), {fmt::format("m{}-{}", round, i), {0, 1}});
      contenders.push_back({create_step(replica_on(fmt::format("r{}-{}", round, i), parts))});
    }
    ASSERT_EQ(race(contenders), 1);
    EXPECT_TRUE(store().find(gpu_slot_key(node, 0))->has_value());
  }
}

TEST_P(OversellContract, K01_a_claim_cannot_grow_into_a_node_of_another) {
  commit({create_step(claim_on("c1", {"n1"})), create_step(claim_on("c2", {"n2"}))});
  const Error error = refused({update_step(claim_on("c2", {"n2", "n1"}), 1)});
  EXPECT_EQ(error.reason, reason_key_taken);
  EXPECT_EQ(present("c2").version, 1U);
  commit({Remove{Kind::claim, "c1", 1}, update_step(claim_on("c2", {"n2", "n1"}), 1)});
  EXPECT_EQ((*store().find(claim_node_key("n1")))->id, "c2");
}

INSTANTIATE_TEST_SUITE_P(AllStores, OversellContract, all_stores(), store_name);

}  // namespace
}  // namespace staithe::store
