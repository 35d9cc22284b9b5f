#include "gateway/affinity.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "base/random.h"
#include "base/thread.h"
#include "gateway/prefix.h"

namespace staithe::gateway {
namespace {

constexpr Instant now{std::chrono::seconds(1000)};

std::vector<std::uint64_t> hashes_of(std::uint64_t seed, std::size_t count) {
  SeededRandom random(seed);
  std::vector<std::uint64_t> hashes(count);
  for (std::uint64_t& hash : hashes) hash = random.next();
  return hashes;
}

TEST(Affinity, tells_how_far_each_replica_has_seen_a_prompt_longest_first) {
  AffinityTable table(1024 * 1024);
  const auto prompt = hashes_of(1, 20);
  table.record(std::span(prompt).first(5), 7, 70, now);
  table.record(std::span(prompt).first(12), 8, 80, now);
  const auto holders = table.find(prompt, 10);
  ASSERT_EQ(holders.count, 2u);
  EXPECT_EQ(holders.list[0].replica, 8u);
  EXPECT_EQ(holders.list[0].mark_count, 12u);
  EXPECT_EQ(holders.list[0].stamp, 80u);
  EXPECT_EQ(holders.list[1].replica, 7u);
  EXPECT_EQ(holders.list[1].mark_count, 5u);
  EXPECT_EQ(table.find(prompt, 1).count, 1u);
  EXPECT_EQ(table.find(hashes_of(2, 20), 10).count, 0u);
}

TEST(Affinity, a_prompt_seen_again_has_the_newer_stamp) {
  AffinityTable table(1024 * 1024);
  const auto prompt = hashes_of(1, 3);
  table.record(prompt, 7, 70, now);
  table.record(prompt, 7, 90, now);
  const auto holders = table.find(prompt, 10);
  ASSERT_EQ(holders.count, 1u);
  EXPECT_EQ(holders.list[0].stamp, 90u);
}

TEST(Affinity, L07_a_million_distinct_long_prompts_stay_under_the_cap) {
  constexpr std::size_t cap = 1024 * 1024;
  AffinityTable table(cap);
  EXPECT_LE(table.size_bytes(), cap);
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    const auto prompt = hashes_of(i, 4);
    table.record(prompt, static_cast<std::uint32_t>(1 + i % 8), i,
                 now + std::chrono::seconds(i / 1000));
    ASSERT_TRUE(i % 1000 != 0 || table.find(prompt, 8).count > 0) << "the newest is there";
  }
  EXPECT_LE(table.size_bytes(), cap);
}

TEST(Affinity, what_was_not_touched_for_longest_gives_way) {
  AffinityTable table(16 * 1024);  // 256 lines
  const auto kept = hashes_of(1, 8);
  for (std::uint64_t second = 0; second < 2000; ++second) {
    const Instant at = now + std::chrono::seconds(second);
    table.record(kept, 1, second, at);
    table.record(hashes_of(100 + second, 8), 2, second, at);
  }
  EXPECT_EQ(table.find(kept, 1).list[0].mark_count, 8u);
  EXPECT_EQ(table.find(hashes_of(100, 8), 1).count, 0u);
}

TEST(Affinity, a_key_has_one_owner_at_a_time) {
  AffinityTable table(16 * 1024);
  EXPECT_FALSE(table.owner(42));
  table.set_owner(42, 7, now);
  EXPECT_EQ(table.owner(42), 7u);
  table.set_owner(42, 8, now);
  EXPECT_EQ(table.owner(42), 8u);
}

TEST(Affinity, loops_that_write_at_once_tell_of_replicas_that_exist) {
  AffinityTable table(16 * 1024);
  std::atomic<int> wrong_count{0};
  const auto write = [&](std::uint32_t replica) {
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      const auto prompt = hashes_of(i % 50, 10);
      table.record(prompt, replica, i, now);
      for (const auto& one : table.find(prompt, 8).all()) {
        if (one.replica != 1 && one.replica != 2) ++wrong_count;
      }
    }
  };
  {
    Thread one("one", [&] { write(1); });
    Thread two("two", [&] { write(2); });
  }
  EXPECT_EQ(wrong_count, 0);
}

}  // namespace
}  // namespace staithe::gateway
