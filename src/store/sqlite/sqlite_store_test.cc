#include "store/sqlite/sqlite_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>

#include "store/sqlite/test_setting.h"

namespace staithe::store {
namespace {

TEST(SqliteStore, is_as_it_was_after_being_opened_again) {
  SqliteSetting setting;
  std::vector<Record> before;
  {
    const auto store = setting.open();
    ASSERT_TRUE(store->commit_and_wait({make_create("a", {{"dns", "x"}}), make_create("b")}));
    ASSERT_TRUE(store->commit_and_wait({Remove{Kind::claim, "b", 1}}));
    before = *store->list(Kind::claim);
  }
  const auto store = setting.open();
  EXPECT_EQ(*store->list(Kind::claim), before);
  EXPECT_EQ(store->changes_since(1, 10)->changes.at(0).id, "b");
  EXPECT_TRUE(store->changes_since(1, 10)->changes.at(0).removed);
  const auto refused = store->commit_and_wait({make_create("c", {{"dns", "x"}})});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, reason_key_taken);
  EXPECT_EQ(store->commit_and_wait({make_create("c")})->revision, 3u);
}

TEST(SqliteStore, forgets_removals_across_restarts_only_beyond_the_limit) {
  SqliteSetting setting;
  for (int i = 0; i < 3; ++i) {  // creates at 1, 3, 5 and removals at 2, 4, 6
    const auto store = setting.open({.tombstones_max = 2});
    const std::string id = fmt::format("r{}", i);
    ASSERT_TRUE(store->commit_and_wait({make_create(id)}));
    ASSERT_TRUE(store->commit_and_wait({Remove{Kind::claim, id, 1}}));
  }
  const auto store = setting.open({.tombstones_max = 2});
  EXPECT_TRUE(store->changes_since(1, 10)->lost);
  EXPECT_EQ(store->changes_since(2, 10)->changes.size(), 2u);
}

TEST(SqliteStore, has_a_record_at_hand_until_a_commit_touches_it) {
  SqliteSetting setting;
  const auto store = setting.open();
  ASSERT_TRUE(store->commit_and_wait({make_create("a"), make_create("b")}));
  EXPECT_EQ(store->peek(Kind::claim, "a"), nullptr);
  ASSERT_TRUE(store->get(Kind::claim, "a"));
  ASSERT_TRUE(store->get(Kind::claim, "b"));
  const auto first = store->peek(Kind::claim, "a");
  const auto other = store->peek(Kind::claim, "b");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(*first, store->get(Kind::claim, "a")->value());
  EXPECT_EQ(store->peek(Kind::claim, "a"), first);

  ASSERT_TRUE(store->commit_and_wait({Update{
      .kind = Kind::claim, .id = "a", .version = 1, .spec = "newer", .status = {}, .keys = {}}}));
  EXPECT_EQ(store->peek(Kind::claim, "a"), nullptr);
  EXPECT_EQ(store->peek(Kind::claim, "b"), other);
  EXPECT_EQ(store->get(Kind::claim, "a")->value().spec, "newer");
  EXPECT_EQ(store->peek(Kind::claim, "a")->spec, "newer");
}

// A tool may write tokens beside the owner, and beside a tool the owner writes everything.
TEST(SqliteStore, has_nothing_at_hand_that_another_process_may_write) {
  SqliteSetting setting;
  const auto owner = setting.open();
  Create token = make_create("t");
  token.kind = Kind::token;
  ASSERT_TRUE(owner->commit_and_wait({token, make_create("a")}));
  ASSERT_TRUE(owner->get(Kind::token, "t"));
  EXPECT_EQ(owner->peek(Kind::token, "t"), nullptr);
  const auto tool = setting.open({.is_owner = false});
  ASSERT_TRUE(tool->get(Kind::claim, "a"));
  EXPECT_EQ(tool->peek(Kind::claim, "a"), nullptr);
}

TEST(SqliteStore, shares_one_flush_among_all_transactions_that_wait) {
  SqliteSetting setting;
  const auto store = setting.open();
  constexpr std::size_t count = 256;
  Outcomes outcomes(count);
  HeldWriter writer(*store);
  const std::uint64_t flushes_before = setting.flush_count();
  for (std::size_t i = 0; i < count; ++i) {
    store->commit({make_create(fmt::format("r{}", i))}, outcomes.done(i));
  }
  writer.release();
  outcomes.wait();
  EXPECT_EQ(setting.flush_count() - flushes_before, 1u);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_TRUE(outcomes[i]);
    EXPECT_EQ(outcomes[i]->revision, i + 1) << "in the order of their coming";
  }
}

TEST(SqliteStore, a_refused_transaction_does_not_disturb_its_batch) {
  SqliteSetting setting;
  const auto store = setting.open();
  Outcomes outcomes(3);
  HeldWriter writer(*store);
  store->commit({make_create("a", {{"dns", "x"}})}, outcomes.done(0));
  store->commit({make_create("b"), make_create("c", {{"dns", "x"}})}, outcomes.done(1));
  store->commit({make_create("d", {{"dns", "y"}})}, outcomes.done(2));
  writer.release();
  outcomes.wait();
  ASSERT_TRUE(outcomes[0]);
  ASSERT_FALSE(outcomes[1]);
  EXPECT_EQ(outcomes[1].error().reason, reason_key_taken);
  ASSERT_TRUE(outcomes[2]);
  EXPECT_EQ(outcomes[2]->revision, 2u);
  EXPECT_EQ(*store->get(Kind::claim, "b"), std::nullopt);
  EXPECT_EQ(store->list(Kind::claim)->size(), 2u);
}

TEST(SqliteStore, refuses_more_than_its_queue_holds) {
  SqliteSetting setting;
  const auto store = setting.open({.queue_length_max = 2});
  Outcomes outcomes(3);
  HeldWriter writer(*store);
  for (std::size_t i = 0; i < 3; ++i) {
    store->commit({make_create(fmt::format("r{}", i))}, outcomes.done(i));
  }
  EXPECT_EQ(outcomes.arrived_count(), 1u);
  writer.release();
  outcomes.wait();
  EXPECT_TRUE(outcomes[0]);
  EXPECT_TRUE(outcomes[1]);
  ASSERT_FALSE(outcomes[2]);
  EXPECT_EQ(outcomes[2].error().code, Code::unavailable);
  EXPECT_EQ(outcomes[2].error().reason, reason_unavailable);
}

TEST(SqliteStore, commits_what_is_queued_before_it_goes) {
  SqliteSetting setting;
  Outcomes outcomes(100);
  {
    const auto store = setting.open({.batch_length_max = 7});
    for (std::size_t i = 0; i < 100; ++i) {
      store->commit({make_create(fmt::format("r{}", i))}, outcomes.done(i));
    }
  }
  EXPECT_EQ(outcomes.arrived_count(), 100u);
  EXPECT_EQ(setting.open()->list(Kind::claim)->size(), 100u);
}

TEST(SqliteStore, a_transaction_that_writes_nothing_costs_no_flush_and_wakes_nobody) {
  SqliteSetting setting;
  const auto store = setting.open();
  ASSERT_TRUE(store->commit_and_wait({make_create("a")}));
  const std::uint64_t flushes_before = setting.flush_count();
  ASSERT_TRUE(store->commit_and_wait({Expect{Kind::claim, "a", 1}}));
  ASSERT_FALSE(store->commit_and_wait({make_create("b"), make_create("a")}));
  EXPECT_EQ(setting.flush_count(), flushes_before);
}

TEST(SqliteStore, and_a_tool_beside_it_build_on_what_the_other_wrote) {
  SqliteSetting setting;
  const auto server = setting.open({.tombstones_max = 2});
  ASSERT_TRUE(server->commit_and_wait({make_create("a"), make_create("b")}));
  {
    const auto tool = setting.open({.tombstones_max = 2, .is_owner = false});
    EXPECT_EQ(tool->list(Kind::claim)->size(), 2u);
    EXPECT_EQ(tool->commit_and_wait({Remove{Kind::claim, "a", 1}})->revision, 2u);
    EXPECT_EQ(tool->commit_and_wait({Remove{Kind::claim, "b", 1}})->revision, 3u);
    EXPECT_EQ(server->changes_since(1, 10)->changes.size(), 2u);
    EXPECT_EQ(server->commit_and_wait({make_create("a")})->revision, 4u);
    EXPECT_EQ(tool->commit_and_wait({make_create("c")})->revision, 5u);
  }
  ASSERT_TRUE(server->commit_and_wait({make_create("b")}));
  EXPECT_EQ(server->changes_since(0, 10)->changes.size(), 3u) << "no removal is left";
  EXPECT_FALSE(setting.try_open()) << "a tool leaves the ownership alone";
}

// While it lives, no file of this process grows beyond `bytes`: a full disk as SQLite sees one.
class FullDisk {
 public:
  explicit FullDisk(std::uintmax_t bytes) {
    former_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    CHECK(::getrlimit(RLIMIT_FSIZE, &former_) == 0);
    rlimit full = former_;
    full.rlim_cur = bytes;
    CHECK(::setrlimit(RLIMIT_FSIZE, &full) == 0);
  }
  ~FullDisk() {
    CHECK(::setrlimit(RLIMIT_FSIZE, &former_) == 0);
    ::signal(SIGXFSZ, former_handler_);
  }

 private:
  rlimit former_{};
  void (*former_handler_)(int) = nullptr;
};

TEST(SqliteStore, fails_the_whole_batch_when_the_disk_is_full_and_recovers) {
  SqliteSetting setting;
  const auto store = setting.open();
  ASSERT_TRUE(store->commit_and_wait({make_create("a", {{"dns", "x"}})}));
  const std::string log_path = setting.directory.database() + "-wal";
  Outcomes outcomes(3);
  {
    HeldWriter writer(*store);
    store->commit({make_create("small")}, outcomes.done(0));
    store->commit({make_create("large", {}, std::string(1'000'000, 'x'))}, outcomes.done(1));
    store->commit({make_create("refused", {{"dns", "x"}})}, outcomes.done(2));
    const FullDisk full(std::filesystem::file_size(log_path));
    writer.release();
    outcomes.wait();
    for (std::size_t i = 0; i < 3; ++i) {
      ASSERT_FALSE(outcomes[i]);
      EXPECT_EQ(outcomes[i].error().code, Code::unavailable);
      EXPECT_EQ(outcomes[i].error().reason, reason_unavailable);
    }
    EXPECT_EQ(store->list(Kind::claim)->size(), 1u) << "reads go on";
  }
  EXPECT_EQ(store->commit_and_wait({make_create("small")})->revision, 2u);
  EXPECT_EQ(store->list(Kind::claim)->size(), 2u);
  EXPECT_EQ(store->changes_since(1, 10)->changes.size(), 1u);
}

TEST(SqliteStore, keeps_its_file_from_other_users) {
  SqliteSetting setting;
  const auto store = setting.open();
  ASSERT_TRUE(store->commit_and_wait({make_create("a")}));
  for (const auto& file : std::filesystem::directory_iterator(setting.directory.path())) {
    struct stat found{};
    ASSERT_EQ(::stat(file.path().c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0077, 0u) << file.path();
  }
}

TEST(SqliteStore, leaves_no_descriptor_to_programs_that_this_one_starts) {
  SqliteSetting setting;
  const auto store = setting.open();
  ASSERT_TRUE(store->commit_and_wait({make_create("a")}));
  int found_count = 0;
  for (const auto& link : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(link.path(), ignored);
    if (!target.starts_with(setting.directory.path())) continue;
    ++found_count;
    const int flags = ::fcntl(std::stoi(link.path().filename()), F_GETFD);
    EXPECT_TRUE(flags & FD_CLOEXEC) << target;
  }
  EXPECT_GE(found_count, 3) << "the lock, the database and its log";
}

}  // namespace
}  // namespace staithe::store
