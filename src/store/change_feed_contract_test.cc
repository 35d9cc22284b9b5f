#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <latch>
#include <set>

#include "base/thread.h"
#include "store/contract_fixture.h"

// What store.h promises of the change feed and its wake-ups, asked of each store.
namespace staithe::store {
namespace {

class ChangeFeedContract : public StoreContract {};

// "a@3" for a change at revision 3, "-a@3" for a removal.
Labels labels(const Result<Changes>& changes) {
  Labels out;
  for (const Change& change : changes->changes) {
    out.push_back(fmt::format("{}{}@{}", change.removed ? "-" : "", change.id, change.revision));
  }
  std::sort(out.begin(), out.end(), [](const std::string& left, const std::string& right) {
    return std::pair(left.substr(left.find('@')), left) <
           std::pair(right.substr(right.find('@')), right);
  });
  return out;
}

TEST_P(ChangeFeedContract, feeds_each_record_once_at_its_last_change) {
  EXPECT_EQ(store().changes_since(0, 10)->revision, 0u);
  commit({create("a"), create("b")});
  commit({create("c")});
  commit({touch("a", 1)});
  const auto all = store().changes_since(0, 10);
  EXPECT_EQ(labels(all), (Labels{"b@1", "c@2", "a@3"}));
  EXPECT_EQ(all->revision, 3u);
  EXPECT_FALSE(all->lost);
  EXPECT_EQ(labels(store().changes_since(2, 10)), Labels{"a@3"});
  const auto none = store().changes_since(3, 10);
  EXPECT_TRUE(none->changes.empty());
  EXPECT_EQ(none->revision, 3u);
}

TEST_P(ChangeFeedContract, feeds_removals_until_the_record_is_made_anew) {
  commit({create("a"), create("b")});
  commit({remove("a", 1)});
  EXPECT_EQ(labels(store().changes_since(1, 10)), Labels{"-a@2"});
  EXPECT_EQ(labels(store().changes_since(0, 10)), (Labels{"b@1", "-a@2"}));
  commit({create("a")});
  EXPECT_EQ(labels(store().changes_since(1, 10)), Labels{"a@3"});
  commit({remove("a", 1)});
  EXPECT_EQ(labels(store().changes_since(1, 10)), Labels{"-a@4"});
}

TEST_P(ChangeFeedContract, feeds_in_portions_that_never_cut_a_transaction) {
  commit({create("a")});
  commit({create("b"), create("c"), create("d")});
  commit({remove("a", 1), create("e")});

  const auto first = store().changes_since(0, 2);
  EXPECT_EQ(labels(first), (Labels{"b@2", "c@2", "d@2"})) << "alone longer than the limit";
  EXPECT_EQ(first->revision, 2u);
  const auto second = store().changes_since(first->revision, 2);
  EXPECT_EQ(labels(second), (Labels{"-a@3", "e@3"}));
  EXPECT_EQ(second->revision, 3u);
  const auto four = store().changes_since(0, 4);
  EXPECT_EQ(labels(four), (Labels{"b@2", "c@2", "d@2"}));
  EXPECT_EQ(four->revision, 2u);
  EXPECT_EQ(store().changes_since(0, 0)->changes.size(), 3u) << "always moves on";
}

TEST_P(ChangeFeedContract, misses_nothing_when_followed_in_small_portions) {
  std::set<std::string> expected;
  std::uint64_t revision = 0;
  std::set<std::string> followed;
  const auto follow = [this, &revision, &followed] {
    while (true) {
      const auto changes = store().changes_since(revision, 2);
      ASSERT_TRUE(changes);
      ASSERT_FALSE(changes->lost);
      for (const Change& change : changes->changes) {
        EXPECT_GT(change.revision, revision);
        if (change.removed) {
          followed.erase(change.id);
        } else {
          followed.insert(change.id);
        }
      }
      if (changes->changes.empty()) break;
      revision = changes->revision;
    }
  };
  for (int i = 0; i < 30; ++i) {
    const std::string id = fmt::format("r{}", i % 7);
    const auto record = *store().get(Kind::claim, id);
    if (record && i % 3 == 0) {
      commit({remove(id, record->version)});
      expected.erase(id);
    } else if (record) {
      commit({touch(id, record->version)});
    } else {
      commit({create(id), create(id + "x")});
      expected.insert({id, id + "x"});
      commit({remove(id + "x", 1)});
      expected.erase(id + "x");
    }
    if (i % 5 == 0) follow();
  }
  follow();
  EXPECT_EQ(followed, expected);
}

TEST_P(ChangeFeedContract, says_lost_when_removals_were_forgotten) {
  reopen_with_few_tombstones();
  for (int i = 0; i < 5; ++i) commit({create(fmt::format("r{}", i))});
  for (int i = 0; i < 5; ++i) commit({remove(fmt::format("r{}", i), 1)});  // revisions 6 to 10

  const auto lost = store().changes_since(6, 10);
  EXPECT_TRUE(lost->lost);
  EXPECT_TRUE(lost->changes.empty());
  EXPECT_EQ(lost->revision, 10u);
  const auto kept = store().changes_since(7, 10);
  EXPECT_FALSE(kept->lost);
  EXPECT_EQ(labels(kept), (Labels{"-r4@10", "-r2@8", "-r3@9"}));
  EXPECT_FALSE(store().changes_since(0, 10)->lost)
      << "who knows nothing cannot have lost a removal";
}

TEST_P(ChangeFeedContract, says_lost_for_a_revision_it_never_had) {
  commit({create("a")});
  const auto changes = store().changes_since(2, 10);
  EXPECT_TRUE(changes->lost);
  EXPECT_EQ(changes->revision, 1u);
}

// Counts wake-ups and lets a test wait for one.
class Bell {
 public:
  void ring() {
    const std::lock_guard lock(mutex_);
    ++count_;
    rung_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    rung_.wait(lock, [this] { return count_ > 0; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable rung_;
  int count_ = 0;
};

TEST_P(ChangeFeedContract, wakes_every_subscriber_after_a_commit_and_then_the_feed_has_it) {
  Bell bell;
  Bell other;
  bool was_visible = false;
  const auto subscription = store().subscribe([this, &bell, &was_visible] {
    was_visible = store().changes_since(0, 10)->changes.size() == 1;
    bell.ring();
  });
  const auto second = store().subscribe([&other] { other.ring(); });
  commit({create("a")});
  bell.wait();
  other.wait();
  EXPECT_TRUE(was_visible);
}

TEST_P(ChangeFeedContract, wakes_nobody_after_the_subscription_has_gone) {
  Bell bell;
  auto subscription = store().subscribe([&bell] { bell.ring(); });
  commit({create("a")});
  bell.wait();
  subscription.reset();
  const int count = bell.count();
  Bell later;
  const auto still_there = store().subscribe([&later] { later.ring(); });
  commit({create("b")});
  later.wait();
  EXPECT_EQ(bell.count(), count);
}

TEST_P(ChangeFeedContract, waits_for_a_running_wake_before_the_subscription_goes) {
  std::latch inside(1);
  std::latch go_on(1);
  std::atomic<bool> has_ended{false};
  auto subscription = store().subscribe([&inside, &go_on, &has_ended] {
    inside.count_down();
    go_on.wait();
    has_ended = true;
  });
  Thread committer("committer", [this] { commit({create("a")}); });
  inside.wait();
  Thread releaser("releaser", [&go_on] { go_on.count_down(); });
  subscription.reset();
  EXPECT_TRUE(has_ended);
}

INSTANTIATE_TEST_SUITE_P(AllStores, ChangeFeedContract, all_stores(), store_name);

}  // namespace
}  // namespace staithe::store
