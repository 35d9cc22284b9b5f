#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <latch>
#include <set>

#include "base/thread.h"
#include "store/memory/memory_store.h"
#include "store/sqlite/sqlite_store.h"
#include "store/store.h"
#include "store/test_directory.h"

// What store.h promises, asked of each store.
namespace staithe::store {
namespace {

constexpr std::size_t few_tombstones = 3;

// What a store needs to live, so that each test gets a fresh one.
struct Setting {
  TestDirectory directory;
  FakeClock clock;
  Log log;
};

struct Implementation {
  std::string name;
  std::function<std::unique_ptr<Store>(Setting&, std::size_t tombstones_max)> make;
};

std::unique_ptr<Store> make_memory(Setting&, std::size_t tombstones_max) {
  return std::make_unique<MemoryStore>(tombstones_max);
}

std::unique_ptr<Store> make_sqlite(Setting& setting, std::size_t tombstones_max) {
  auto store = open_sqlite_store(setting.directory.database(), {.tombstones_max = tombstones_max},
                                 setting.clock, setting.log);
  CHECK_THAT(store.has_value(), store.error().message);
  return std::move(store).value();
}

class StoreContract : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override { store_ = GetParam().make(setting_, 100'000); }

  Store& store() { return *store_; }
  void reopen_with_few_tombstones() {
    store_.reset();
    store_ = GetParam().make(setting_, few_tombstones);
  }

  std::uint64_t commit(Transaction transaction) {
    const Result<Commit> result = store().commit_and_wait(std::move(transaction));
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result ? result->revision : 0;
  }
  Error refused(Transaction transaction) {
    const Result<Commit> result = store().commit_and_wait(std::move(transaction));
    EXPECT_FALSE(result);
    return result ? Error{} : result.error();
  }
  Record present(std::string_view id, Kind kind = Kind::claim) {
    const auto record = store().get(kind, id);
    EXPECT_TRUE(record && *record) << id;
    return record && *record ? **record : Record{};
  }
  bool is_absent(std::string_view id, Kind kind = Kind::claim) {
    const auto record = store().get(kind, id);
    return record && !*record;
  }

  Setting setting_;
  std::unique_ptr<Store> store_;
};

Timestamp at(int seconds) {
  return Timestamp{std::chrono::seconds{seconds}};
}

Create create(std::string id, std::vector<UniqueKey> keys = {}, std::string organization = "cw1a2b",
              int seconds = 1) {
  return {.kind = Kind::claim,
          .id = std::move(id),
          .organization = std::move(organization),
          .spec = "spec",
          .status = "status",
          .created_at = at(seconds),
          .keys = std::move(keys)};
}

Update touch(std::string id, std::uint64_t version) {
  return {.kind = Kind::claim,
          .id = std::move(id),
          .version = version,
          .spec = std::nullopt,
          .status = "touched",
          .keys = std::nullopt};
}

Update rekey(std::string id, std::uint64_t version, std::vector<UniqueKey> keys) {
  return {.kind = Kind::claim,
          .id = std::move(id),
          .version = version,
          .spec = std::nullopt,
          .status = std::nullopt,
          .keys = std::move(keys)};
}

Remove remove(std::string id, std::uint64_t version) {
  return {.kind = Kind::claim, .id = std::move(id), .version = version};
}

Expect expect(std::string id, std::uint64_t version) {
  return {.kind = Kind::claim, .id = std::move(id), .version = version};
}

std::vector<std::string> ids(const Result<std::vector<Record>>& records) {
  std::vector<std::string> out;
  for (const Record& record : *records) out.push_back(record.id);
  return out;
}

// "a@3" for a change at revision 3, "-a@3" for a removal.
std::vector<std::string> labels(const Result<Changes>& changes) {
  std::vector<std::string> out;
  for (const Change& change : changes->changes) {
    out.push_back(fmt::format("{}{}@{}", change.removed ? "-" : "", change.id, change.revision));
  }
  std::sort(out.begin(), out.end(), [](const std::string& left, const std::string& right) {
    return std::pair(left.substr(left.find('@')), left) <
           std::pair(right.substr(right.find('@')), right);
  });
  return out;
}

using Labels = std::vector<std::string>;

TEST_P(StoreContract, returns_every_field_as_it_was_created) {
  const std::string odd("a\0\xff \xc3\xa4'\"", 8);
  const std::uint64_t revision =
      commit({Create{.kind = Kind::replica,
                     .id = "r1",
                     .organization = "cw1a2b",
                     .spec = odd,
                     .status = "",
                     .created_at = Timestamp{std::chrono::microseconds{-7}},
                     .keys = {{"b", "2"}, {"a", "1"}, {"b", "2"}}}});
  const Record expected{.kind = Kind::replica,
                        .id = "r1",
                        .organization = "cw1a2b",
                        .spec = odd,
                        .status = "",
                        .version = 1,
                        .revision = revision,
                        .created_at = Timestamp{std::chrono::microseconds{-7}},
                        .keys = {{"a", "1"}, {"b", "2"}}};
  EXPECT_EQ(present("r1", Kind::replica), expected);
  EXPECT_EQ(*store().find({"a", "1"}), expected);
  EXPECT_EQ(*store().list(Kind::replica), std::vector<Record>{expected});
  EXPECT_TRUE(is_absent("r1", Kind::claim));
}

TEST_P(StoreContract, lists_by_creation_time_then_id_and_keeps_kinds_apart) {
  commit(
      {create("c", {}, "cw1a2b", 1), create("a", {}, "cw1a2b", 2), create("b", {}, "cw1a2b", 1)});
  commit({Create{.kind = Kind::node, .id = "n", .created_at = at(0)}});
  EXPECT_EQ(ids(store().list(Kind::claim)), (Labels{"b", "c", "a"}));
  EXPECT_EQ(ids(store().list(Kind::node)), Labels{"n"});
  EXPECT_TRUE(store().list(Kind::gateway)->empty());
}

TEST_P(StoreContract, filters_a_list_by_organization_with_the_right_keys) {
  commit({create("a", {{"dns", "a"}}, "cw1a2b"), create("b", {{"dns", "b"}}, "s12345")});
  const auto records = store().list(Kind::claim, "s12345");
  EXPECT_EQ(ids(records), Labels{"b"});
  EXPECT_EQ(records->front().keys, (std::vector<UniqueKey>{{"dns", "b"}}));
  EXPECT_TRUE(store().list(Kind::claim, "s1234")->empty());
}

TEST_P(StoreContract, finds_nothing_by_a_key_nobody_holds) {
  commit({create("a", {{"dns", "x"}})});
  EXPECT_EQ(*store().find({"dns", "y"}), std::nullopt);
  EXPECT_EQ(*store().find({"dn", "x"}), std::nullopt);
}

TEST_P(StoreContract, update_raises_the_version_and_leaves_absent_members_alone) {
  commit({create("a", {{"dns", "x"}})});
  const std::uint64_t revision = commit({touch("a", 1)});
  const Record record = present("a");
  EXPECT_EQ(record.version, 2u);
  EXPECT_EQ(record.revision, revision);
  EXPECT_EQ(record.spec, "spec");
  EXPECT_EQ(record.status, "touched");
  EXPECT_EQ(record.created_at, at(1));
  EXPECT_EQ(record.keys, (std::vector<UniqueKey>{{"dns", "x"}}));

  Update to_empty = touch("a", 2);
  to_empty.spec = "";
  commit({to_empty});
  EXPECT_EQ(present("a").spec, "");
}

TEST_P(StoreContract, refuses_a_taken_id_of_the_same_kind) {
  commit({create("a")});
  const Error error = refused({create("a")});
  EXPECT_EQ(error.code, Code::already_exists);
  EXPECT_EQ(error.reason, reason_id_taken);
  EXPECT_EQ(error.resources.at(0).name, "a");
  commit({Create{.kind = Kind::gateway, .id = "a"}});
}

TEST_P(StoreContract, refuses_a_taken_key_and_names_its_holder) {
  commit({create("a", {{"dns", "x"}})});
  for (const Transaction& transaction :
       {Transaction{create("b", {{"dns", "w"}, {"dns", "x"}})},
        Transaction{Create{.kind = Kind::gateway, .id = "a", .keys = {{"dns", "x"}}}}}) {
    const Error error = refused(transaction);
    EXPECT_EQ(error.code, Code::already_exists);
    EXPECT_EQ(error.reason, reason_key_taken);
    EXPECT_EQ(error.violations.at(0), (FieldViolation{"dns", "x"}));
    EXPECT_EQ(error.resources.at(0).name, "a");
  }
  EXPECT_TRUE(is_absent("b"));
  EXPECT_EQ(*store().find({"dns", "w"}), std::nullopt);
}

TEST_P(StoreContract, says_id_taken_before_key_taken) {
  commit({create("a", {{"dns", "x"}})});
  EXPECT_EQ(refused({create("a", {{"dns", "x"}})}).reason, reason_id_taken);
}

TEST_P(StoreContract, frees_replaced_keys_and_takes_new_ones) {
  commit({create("a", {{"dns", "x"}, {"dns", "y"}})});
  commit({rekey("a", 1, {{"dns", "y"}, {"dns", "z"}})});
  EXPECT_EQ(present("a").keys, (std::vector<UniqueKey>{{"dns", "y"}, {"dns", "z"}}));
  commit({create("b", {{"dns", "x"}})});
  EXPECT_EQ(refused({rekey("b", 1, {{"dns", "z"}})}).reason, reason_key_taken);
  EXPECT_EQ(present("b").keys, (std::vector<UniqueKey>{{"dns", "x"}}));
  commit({rekey("b", 1, {})});
  EXPECT_TRUE(present("b").keys.empty());
}

TEST_P(StoreContract, frees_the_keys_of_a_removed_record) {
  commit({create("a", {{"dns", "x"}})});
  commit({remove("a", 1)});
  EXPECT_TRUE(is_absent("a"));
  EXPECT_EQ(*store().find({"dns", "x"}), std::nullopt);
  commit({create("a", {{"dns", "x"}})});
  EXPECT_EQ(present("a").version, 1u);
}

TEST_P(StoreContract, hands_a_key_over_within_one_transaction) {
  commit({create("a", {{"dns", "x"}}), create("b", {{"dns", "y"}})});
  commit({rekey("a", 1, {}), rekey("b", 1, {{"dns", "x"}}), rekey("a", 2, {{"dns", "y"}})});
  EXPECT_EQ(store().find({"dns", "x"})->value().id, "b");
  EXPECT_EQ(store().find({"dns", "y"})->value().id, "a");
  commit({remove("b", 2), create("c", {{"dns", "x"}})});
  EXPECT_EQ(store().find({"dns", "x"})->value().id, "c");
}

TEST_P(StoreContract, aborts_when_a_version_has_moved_on_or_the_record_is_gone) {
  commit({create("a")});
  commit({touch("a", 1)});
  for (const Step& step : {Step{touch("a", 1)}, Step{touch("a", 3)}, Step{remove("a", 1)},
                           Step{expect("a", 1)}, Step{touch("none", 1)}, Step{remove("none", 1)},
                           Step{expect("none", 1)}, Step{expect("none", 0)}}) {
    const Error error = refused({step});
    EXPECT_EQ(error.code, Code::aborted);
    EXPECT_EQ(error.reason, reason_version_changed);
    ASSERT_EQ(error.resources.size(), 1u);
  }
  EXPECT_EQ(present("a").version, 2u);
}

TEST_P(StoreContract, expect_holds_without_changing_anything) {
  const std::uint64_t revision = commit({create("a")});
  EXPECT_EQ(commit({expect("a", 1)}), revision);
  EXPECT_EQ(commit({}), revision);
  EXPECT_EQ(present("a").version, 1u);
  EXPECT_EQ(commit({expect("a", 1), create("b")}), revision + 1);
}

TEST_P(StoreContract, does_all_steps_or_none) {
  const std::uint64_t before = commit({create("a", {{"dns", "x"}}), create("b", {{"dns", "y"}})});
  const Record a = present("a");
  for (const Step& last : {Step{expect("b", 9)}, Step{create("b")}, Step{touch("b", 9)},
                           Step{create("d", {{"dns", "y"}})}}) {
    refused({create("c", {{"dns", "z"}}), rekey("a", 1, {}), touch("a", 2), remove("a", 3), last});
    EXPECT_EQ(present("a"), a);
    EXPECT_TRUE(is_absent("c"));
    EXPECT_EQ(*store().find({"dns", "z"}), std::nullopt);
    EXPECT_EQ(store().find({"dns", "x"})->value().id, "a");
  }
  EXPECT_EQ(commit({touch("a", 1)}), before + 1) << "a refused transaction uses up no revision";
}

TEST_P(StoreContract, gives_one_revision_to_all_records_of_a_transaction) {
  const std::uint64_t first = commit({create("a"), create("b")});
  EXPECT_EQ(present("a").revision, first);
  EXPECT_EQ(present("b").revision, first);
  EXPECT_EQ(commit({touch("a", 1)}), first + 1);
}

TEST_P(StoreContract, lets_exactly_one_of_many_racing_transactions_take_a_key) {
  constexpr int thread_count = 16;
  std::latch start(thread_count);
  std::atomic<int> won_count{0};
  std::atomic<int> lost_count{0};
  {
    std::vector<Thread> threads;
    for (int i = 0; i < thread_count; ++i) {
      threads.emplace_back("racer", [this, i, &start, &won_count, &lost_count] {
        start.arrive_and_wait();
        const auto result =
            store().commit_and_wait({create(fmt::format("r{}", i), {{"gpu-slot", "n1/0"}})});
        if (result) {
          ++won_count;
        } else if (result.error().reason == reason_key_taken) {
          ++lost_count;
        }
      });
    }
  }
  EXPECT_EQ(won_count, 1);
  EXPECT_EQ(lost_count, thread_count - 1);
  EXPECT_EQ(store().list(Kind::claim)->size(), 1u);
}

TEST_P(StoreContract, loses_no_update_of_threads_that_retry_when_aborted) {
  constexpr int thread_count = 8;
  constexpr int rounds = 10;
  commit({create("a")});
  {
    std::vector<Thread> threads;
    for (int i = 0; i < thread_count; ++i) {
      threads.emplace_back("adder", [this] {
        for (int done_count = 0; done_count < rounds;) {
          const auto record = store().get(Kind::claim, "a");
          CHECK(record && *record);
          Update update = touch("a", (*record)->version);
          update.spec = (*record)->spec + "+";
          const auto result = store().commit_and_wait({update});
          if (result) {
            ++done_count;
          } else {
            CHECK(result.error().code == Code::aborted);
          }
        }
      });
    }
  }
  EXPECT_EQ(present("a").spec, "spec" + std::string(thread_count * rounds, '+'));
  EXPECT_EQ(present("a").version, 1u + thread_count * rounds);
}

TEST_P(StoreContract, gives_64_threads_their_own_revisions_and_shows_each_its_own_write) {
  constexpr int thread_count = 64;
  std::mutex mutex;
  std::set<std::uint64_t> revisions;
  {
    std::vector<Thread> threads;
    for (int i = 0; i < thread_count; ++i) {
      threads.emplace_back("writer", [this, i, &mutex, &revisions] {
        for (int j = 0; j < 5; ++j) {
          const std::string id = fmt::format("{}-{}", i, j);
          const auto result = store().commit_and_wait({create(id)});
          CHECK(result.has_value());
          const auto record = store().get(Kind::claim, id);
          CHECK(record && *record && (*record)->revision == result->revision);
          const std::lock_guard lock(mutex);
          revisions.insert(result->revision);
        }
      });
    }
  }
  EXPECT_EQ(revisions.size(), thread_count * 5u);
  EXPECT_EQ(*revisions.rbegin(), thread_count * 5u);
  EXPECT_EQ(store().list(Kind::claim)->size(), thread_count * 5u);
}

TEST_P(StoreContract, shows_a_write_to_every_reader_once_done_was_called) {
  std::latch done(1);
  bool was_visible = false;
  store().commit({create("a")}, [this, &done, &was_visible](Result<Commit> result) {
    was_visible = result.has_value() && !is_absent("a");
    done.count_down();
  });
  done.wait();
  EXPECT_TRUE(was_visible);
}

TEST_P(StoreContract, feeds_each_record_once_at_its_last_change) {
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

TEST_P(StoreContract, feeds_removals_until_the_record_is_made_anew) {
  commit({create("a"), create("b")});
  commit({remove("a", 1)});
  EXPECT_EQ(labels(store().changes_since(1, 10)), Labels{"-a@2"});
  EXPECT_EQ(labels(store().changes_since(0, 10)), (Labels{"b@1", "-a@2"}));
  commit({create("a")});
  EXPECT_EQ(labels(store().changes_since(1, 10)), Labels{"a@3"});
  commit({remove("a", 1)});
  EXPECT_EQ(labels(store().changes_since(1, 10)), Labels{"-a@4"});
}

TEST_P(StoreContract, feeds_in_portions_that_never_cut_a_transaction) {
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

TEST_P(StoreContract, misses_nothing_when_followed_in_small_portions) {
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

TEST_P(StoreContract, says_lost_when_removals_were_forgotten) {
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

TEST_P(StoreContract, says_lost_for_a_revision_it_never_had) {
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

TEST_P(StoreContract, wakes_every_subscriber_after_a_commit_and_then_the_feed_has_it) {
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

TEST_P(StoreContract, wakes_nobody_after_the_subscription_has_gone) {
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

TEST_P(StoreContract, waits_for_a_running_wake_before_the_subscription_goes) {
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

INSTANTIATE_TEST_SUITE_P(AllStores, StoreContract,
                         testing::Values(Implementation{"Memory", make_memory},
                                         Implementation{"Sqlite", make_sqlite}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace staithe::store
