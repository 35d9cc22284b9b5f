#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gateway/choose.h"

namespace staithe::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A deployment of replicas without engines, under the chooser's own books.
class ReplicaChoiceTest : public ::testing::Test {
 protected:
  void deploy(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      deployment.replicas.push_back({.load = std::make_shared<ReplicaLoad>(
                                         std::to_string(i), static_cast<std::uint32_t>(i + 1))});
    }
  }
  static Prefix prompt(const std::string& text) {
    Prefix prefix;
    prefix.add(text);
    return prefix;
  }
  static std::string text_of(std::size_t bytes, char letter) { return std::string(bytes, letter); }

  ReplicaChoice choose(const ReplicaQuery& query) {
    return chooser.choose(deployment, query, now, random);
  }
  // Chooses, and keeps the request in flight.
  std::size_t send(const ReplicaQuery& query) {
    const ReplicaChoice choice = choose(query);
    under_way.emplace_back(choice.replica->load, gauge,
                           InFlight::Prompt{.unread_bytes = choice.unread_bytes(), .sent_at = now});
    return index(choice);
  }
  std::size_t index(const ReplicaChoice& choice) const {
    return static_cast<std::size_t>(choice.replica - deployment.replicas.data());
  }
  ReplicaLoad& load(std::size_t i) { return *deployment.replicas[i].load; }

  AffinityTable table{1024 * 1024};
  ReplicaChooser chooser{table};
  SeededRandom random{1};
  ServedDeployment deployment;
  Gauge gauge;
  std::vector<InFlight> under_way;
  Instant now{seconds(1000)};
};

TEST_F(ReplicaChoiceTest, a_prompt_goes_where_its_beginning_was_read) {
  deploy(8);
  const std::string system = text_of(40'000, 's');
  const Prefix begin = prompt(system);
  const std::size_t first = send({.prompt = &begin});
  under_way.clear();
  now += seconds(10);
  for (int i = 0; i < 20; ++i) {
    const Prefix next = prompt(system + text_of(500, static_cast<char>('a' + i)));
    const ReplicaChoice choice = choose({.prompt = &next});
    EXPECT_EQ(index(choice), first);
    EXPECT_EQ(choice.reason, ChoiceReason::prefix);
    EXPECT_GT(choice.cached_bytes, 30'000u);
    EXPECT_EQ(choice.prompt_bytes, 40'500u);
  }
}

TEST_F(ReplicaChoiceTest, prompts_that_have_nothing_in_common_go_by_load) {
  deploy(4);
  for (int i = 0; i < 8; ++i) {
    const Prefix one = prompt(text_of(20'000, static_cast<char>('a' + i)));
    send({.prompt = &one});
  }
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(load(i).in_flight(), 2u);
}

TEST_F(ReplicaChoiceTest, a_long_prompt_counts_for_more_than_a_short_one) {
  deploy(2);
  const Prefix long_one = prompt(text_of(400'000, 'l'));
  const std::size_t busy = send({.prompt = &long_one});
  const Prefix short_one = prompt(text_of(4'000, 's'));
  EXPECT_NE(send({.prompt = &short_one}), busy);
  const Prefix other = prompt(text_of(4'000, 'o'));
  EXPECT_NE(send({.prompt = &other}), busy) << "one in flight each, but not as much to read";
}

TEST_F(ReplicaChoiceTest, L04_one_request_at_a_time_meets_every_replica_as_often) {
  deploy(4);
  std::vector<int> counts(4);
  for (int i = 0; i < 4000; ++i) ++counts[index(choose({}))];
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);
}

TEST_F(ReplicaChoiceTest, L05_no_replica_is_above_the_bound_however_hot_a_prefix_is) {
  deploy(8);
  const std::string system = text_of(40'000, 's');
  for (int i = 0; i < 2000; ++i) {
    if (under_way.size() == 64) {
      under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(random.below(64)));
      now += milliseconds(20);
    }
    const std::string rest = std::to_string(i) + text_of(500, 'x');
    const Prefix one = prompt(i % 10 == 0 ? rest : system + rest);
    send({.prompt = &one});
    const double mean = static_cast<double>(under_way.size()) / 8;
    for (std::size_t k = 0; k < 8; ++k) {
      ASSERT_LE(load(k).in_flight(), 1.25 * mean + 1) << "replica " << k << ", request " << i;
    }
  }
}

TEST_F(ReplicaChoiceTest, L06_a_new_prompt_goes_to_the_idle_replica_though_it_has_seen_more) {
  deploy(2);
  // The idle one has a large tree.
  for (int i = 0; i < 100; ++i) {
    const Prefix one = prompt(std::to_string(i) + text_of(4'000, 'i'));
    table.record(one.hashes(), load(1).number(), 0, now);
  }
  const Prefix work = prompt(text_of(4'000, 'w'));
  table.record(work.hashes(), load(0).number(), 0, now);
  for (int i = 0; i < 4; ++i) under_way.emplace_back(deployment.replicas[0].load, gauge);
  const Prefix fresh = prompt(text_of(4'000, 'n'));
  for (int i = 0; i < 20; ++i) {
    AffinityTable untouched(16 * 1024);
    ReplicaChooser chooser_of_new(untouched);
    EXPECT_EQ(index(chooser_of_new.choose(deployment, {.prompt = &fresh}, now, random)), 1u);
  }
  EXPECT_EQ(index(choose({.prompt = &fresh})), 1u);
}

TEST_F(ReplicaChoiceTest, L10_without_fresh_hints_our_own_counts_decide_and_it_is_told) {
  deploy(2);
  under_way.emplace_back(deployment.replicas[0].load, gauge);
  EXPECT_TRUE(choose({}).is_without_hints);
  EXPECT_EQ(index(choose({})), 1u);
  // Another gateway keeps the second one busy.
  load(0).hints().update({.waiting = 0, .running = 1}, now);
  load(1).hints().update({.waiting = 3, .running = 9}, now);
  EXPECT_FALSE(choose({}).is_without_hints);
  EXPECT_EQ(index(choose({})), 0u);
  now += EngineHints::fresh_for + milliseconds(1);
  EXPECT_TRUE(choose({}).is_without_hints);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(index(choose({})), 1u) << "never by chance";
}

TEST_F(ReplicaChoiceTest, L11_a_session_stays_while_its_replica_is_there_and_then_moves_once) {
  deploy(4);
  const std::uint64_t session = hash_text("session-1", 0);
  const std::size_t first = index(choose({.session = session}));
  for (int i = 0; i < 20; ++i) {
    const ReplicaChoice choice = choose({.session = session});
    EXPECT_EQ(index(choice), first);
    EXPECT_EQ(choice.reason, ChoiceReason::session);
  }
  deployment.replicas.erase(deployment.replicas.begin() + static_cast<std::ptrdiff_t>(first));
  const ReplicaChoice moved = choose({.session = session});
  EXPECT_NE(moved.reason, ChoiceReason::session);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(choose({.session = session}).replica, moved.replica);
}

TEST_F(ReplicaChoiceTest, a_session_does_not_outweigh_the_bound) {
  deploy(4);
  const std::uint64_t session = hash_text("session-1", 0);
  const std::size_t first = send({.session = session});
  for (int i = 0; i < 40; ++i) send({.session = session});
  EXPECT_LE(load(first).in_flight(), 1.25 * 41 / 4 + 1);
  under_way.clear();
  EXPECT_EQ(index(choose({.session = session})), first) << "that was no reason to move for good";
}

TEST_F(ReplicaChoiceTest, what_a_cache_should_have_lost_by_now_is_not_counted_on) {
  deploy(1);
  const Prefix old = prompt(text_of(20'000, 'o'));
  send({.prompt = &old});
  EXPECT_GT(choose({.prompt = &old}).cached_bytes, 0u);
  for (int i = 0; i < 300; ++i) {
    const Prefix one = prompt(std::to_string(i) + text_of(20'000, 'x'));
    send({.prompt = &one});
  }
  EXPECT_EQ(choose({.prompt = &old}).cached_bytes, 0u);
}

TEST_F(ReplicaChoiceTest, avoided_and_excluded_replicas_come_last) {
  deploy(3);
  load(0).avoid_until(now + seconds(1));
  for (int i = 0; i < 30; ++i) under_way.emplace_back(deployment.replicas[1].load, gauge);
  EXPECT_EQ(index(choose({.excluded = &load(2)})), 1u) << "busy, but not avoided";
  load(1).avoid_until(now + seconds(1));
  EXPECT_EQ(index(choose({.excluded = &load(2)})), 0u) << "all avoided: the idler one";
  deployment.replicas.erase(deployment.replicas.begin(), deployment.replicas.begin() + 2);
  EXPECT_EQ(choose({.excluded = deployment.replicas[0].load.get()}).replica, nullptr);
}

// --- The books -----------------------------------------------------------------------------------

TEST_F(ReplicaChoiceTest, a_backlog_follows_the_pace_that_first_bytes_show) {
  deploy(1);
  const auto read = [&](std::uint64_t bytes, Duration took) {
    InFlight one(deployment.replicas[0].load, gauge, {.unread_bytes = bytes, .sent_at = now});
    now += took;
    one.answer_begun(now);
  };
  for (int i = 0; i < 20; ++i) read(100'000, seconds(1));  // 10 us a byte
  EXPECT_EQ(load(0).backlog(now), Duration{0});
  const InFlight one(deployment.replicas[0].load, gauge, {.unread_bytes = 200'000, .sent_at = now});
  EXPECT_NEAR(std::chrono::duration<double>(load(0).backlog(now)).count(), 2, 0.01);
  EXPECT_NEAR(std::chrono::duration<double>(load(0).backlog(now + seconds(1))).count(), 1, 0.01);
}

TEST_F(ReplicaChoiceTest, a_late_first_byte_puts_off_those_behind_it) {
  deploy(1);
  const auto& shared = deployment.replicas[0].load;
  InFlight one(shared, gauge, {.unread_bytes = 50'000, .sent_at = now});  // 1 s at first
  InFlight two(shared, gauge, {.unread_bytes = 50'000, .sent_at = now});
  EXPECT_EQ(load(0).backlog(now), seconds(2));
  now += milliseconds(1500);
  one.answer_begun(now);
  EXPECT_NEAR(std::chrono::duration<double>(load(0).backlog(now)).count(), 1, 0.01);
  two.release();
  one.release();
  EXPECT_EQ(load(0).in_flight(), 0u);
}

}  // namespace
}  // namespace staithe::gateway
