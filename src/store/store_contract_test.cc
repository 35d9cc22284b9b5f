#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <set>

#include "base/thread.h"
#include "store/contract_fixture.h"

// What store.h promises of records and transactions, asked of each store.
namespace staithe::store {
namespace {

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

TEST_P(StoreContract, gives_each_record_of_every_kind_as_it_would_list_it_but_for_its_keys) {
  commit({create("b", {{"dns", "b"}}, "cw1a2b", 2), create("a", {}, "s12345", 1),
          Create{.kind = Kind::node, .id = "n", .created_at = at(0)}});
  std::vector<Record> listed = *store().list(Kind::claim);
  const std::vector<Record> nodes = *store().list(Kind::node);
  listed.insert(listed.end(), nodes.begin(), nodes.end());
  std::vector<Record> given;
  ASSERT_TRUE(store().each([&given](const Record& record) { given.push_back(record); }));
  for (Record& record : listed) record.keys.clear();
  for (Record& record : given) record.keys.clear();
  EXPECT_EQ(given.size(), 3u);
  EXPECT_TRUE(std::is_permutation(given.begin(), given.end(), listed.begin(), listed.end()));
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

INSTANTIATE_TEST_SUITE_P(AllStores, StoreContract, all_stores(), store_name);

}  // namespace
}  // namespace staithe::store
