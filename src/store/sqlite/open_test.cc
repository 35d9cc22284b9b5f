#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "store/sqlite/connection.h"
#include "store/sqlite/test_setting.h"

// What open_sqlite_store refuses, and how it says so.
namespace staithe::store {
namespace {

// Runs `sql` on the file as another program would, making it if needed.
void run_sql(const std::string& path, const std::string& sql) {
  std::ofstream(path, std::ios::app).close();
  const auto connection = Connection::open(path, Connection::Access::read_write);
  CHECK(connection.has_value());
  const int outcome = (*connection)->execute(sql);
  CHECK_THAT(outcome == SQLITE_OK, (*connection)->message());
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Error refusal(SqliteSetting& setting) {
  const auto store = setting.try_open();
  EXPECT_FALSE(store);
  if (store) return {};
  EXPECT_NE(store.error().message.find(setting.directory.database()), std::string::npos)
      << store.error().message;
  return store.error();
}

TEST(OpenSqliteStore, refuses_a_database_that_another_one_has_open) {
  SqliteSetting setting;
  {
    const auto first = setting.open();
    const Error error = refusal(setting);
    EXPECT_EQ(error.code, Code::failed_precondition);
    EXPECT_EQ(error.reason, "DATABASE_IN_USE");
    EXPECT_NE(error.message.find(fmt::format("process {}", ::getpid())), std::string::npos);
    EXPECT_TRUE(first->commit_and_wait({make_create("a")})) << "the first one is not disturbed";
  }
  EXPECT_TRUE(setting.try_open());
}

TEST(Ownership, goes_to_whoever_stands_in_line_and_tells_both_of_the_other) {
  SqliteSetting setting;
  const std::string path = setting.directory.database();
  auto former = Ownership::take(path);
  ASSERT_TRUE(former);
  EXPECT_TRUE(Ownership::is_taken(path));
  EXPECT_FALSE(former->has_successor());
  auto place = stand_in_line(path);
  ASSERT_TRUE(place);
  EXPECT_TRUE(former->has_successor());
  EXPECT_EQ(stand_in_line(path).error().reason, "DATABASE_IN_USE") << "the line has one place";
  EXPECT_EQ(Ownership::take(path).error().reason, "DATABASE_IN_USE");

  former->give_up();
  auto next = Ownership::take(path);
  ASSERT_TRUE(next);
  EXPECT_TRUE(former->has_successor()) << "that does not serve yet";
  EXPECT_TRUE(next->has_predecessor());
  place->reset();
  EXPECT_FALSE(former->has_successor());
  former = Error{.code = Code::unavailable, .message = "its process has ended"};
  EXPECT_FALSE(next->has_predecessor());
}

TEST(Ownership, that_was_taken_serves_for_a_store) {
  SqliteSetting setting;
  const auto ownership = Ownership::take(setting.directory.database());
  ASSERT_TRUE(ownership);
  refusal(setting);
  EXPECT_TRUE(setting.try_open({.ownership = &*ownership}));
}

TEST(OpenSqliteStore, refuses_a_newer_schema_naming_both_versions_and_leaves_it_alone) {
  SqliteSetting setting;
  setting.open().reset();
  run_sql(setting.directory.database(),
          "UPDATE meta SET value = 42 WHERE name = 'schema_version'; PRAGMA journal_mode = DELETE");
  const Error error = refusal(setting);
  EXPECT_EQ(error.code, Code::failed_precondition);
  EXPECT_EQ(error.reason, "DATABASE_TOO_NEW");
  EXPECT_NE(error.message.find("schema version 42"), std::string::npos);
  EXPECT_NE(error.message.find("up to version 2"), std::string::npos);
  run_sql(setting.directory.database(), "UPDATE meta SET value = 2 WHERE name = 'schema_version'");
  EXPECT_TRUE(setting.try_open());
}

TEST(OpenSqliteStore, refuses_a_database_of_another_program) {
  SqliteSetting setting;
  run_sql(setting.directory.database(), "CREATE TABLE meta (name, value)");
  EXPECT_EQ(refusal(setting).reason, "DATABASE_NOT_OURS");
}

TEST(OpenSqliteStore, refuses_a_file_that_is_no_database_and_leaves_it_alone) {
  SqliteSetting setting;
  const std::string text(5'000, 'x');
  std::ofstream(setting.directory.database()) << text;
  const Error error = refusal(setting);
  EXPECT_EQ(error.code, Code::data_loss);
  EXPECT_EQ(error.reason, "DATABASE_DAMAGED");
  EXPECT_NE(error.message.find("backup"), std::string::npos);
  EXPECT_EQ(read_file(setting.directory.database()), text);
}

TEST(OpenSqliteStore, refuses_a_damaged_database) {
  SqliteSetting setting;
  {
    const auto store = setting.open();
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(store->commit_and_wait(
          {make_create(fmt::format("r{}", i), {}, std::string(1'000, 'x'))}));
    }
  }
  const auto size = std::filesystem::file_size(setting.directory.database());
  std::fstream file(setting.directory.database(), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4'096);
  file << std::string(size - 4'096, '\x5a');
  file.close();
  EXPECT_EQ(refusal(setting).reason, "DATABASE_DAMAGED");
}

TEST(OpenSqliteStore, leaves_the_look_for_damage_to_a_caller_who_wants_it) {
  SqliteSetting setting;
  {
    const auto store = setting.open();
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(store->commit_and_wait(
          {make_create(fmt::format("r{}", i), {}, std::string(1'000, 'x'))}));
    }
  }
  const std::string path = setting.directory.database();
  EXPECT_TRUE(check_sqlite_database(path));
  const auto size = std::filesystem::file_size(path);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(size - 4'096));
  file << std::string(4'096, '\x5a');
  file.close();

  EXPECT_TRUE(setting.try_open({.check = Check::by_caller}));
  const Result<void> checked = check_sqlite_database(path);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().reason, "DATABASE_DAMAGED");
  EXPECT_EQ(refusal(setting).reason, "DATABASE_DAMAGED") << "who asks for nothing is safe";
}

TEST(OpenSqliteStore, makes_and_migrates_nothing_for_a_tool) {
  SqliteSetting setting;
  EXPECT_FALSE(setting.try_open({.is_owner = false}));
  EXPECT_FALSE(std::filesystem::exists(setting.directory.database()));

  std::ofstream(setting.directory.database()).close();
  const auto store = setting.try_open({.is_owner = false});
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().reason, "DATABASE_TOO_OLD");
}

TEST(OpenSqliteStore, starts_afresh_in_an_empty_file) {
  SqliteSetting setting;
  std::ofstream(setting.directory.database()).close();
  EXPECT_TRUE(setting.open()->commit_and_wait({make_create("a")}));
}

TEST(OpenSqliteStore, says_what_is_wrong_with_the_path) {
  SqliteSetting setting;
  std::filesystem::create_directory(setting.directory.database());
  EXPECT_EQ(refusal(setting).reason, "DATABASE_NOT_ACCESSIBLE");

  const std::string missing = setting.directory.path() + "/missing/staithe.db";
  const auto store = open_sqlite_store(missing, {}, setting.clock, setting.log);
  ASSERT_FALSE(store);
  EXPECT_NE(store.error().message.find(missing + ": No such file or directory"), std::string::npos)
      << store.error().message;
}

// Root may read everything, so the attempt is made by a child that is nobody.
TEST(OpenSqliteStore, says_so_when_this_user_may_not_read_the_file) {
  SqliteSetting setting;
  setting.open().reset();
  std::filesystem::permissions(setting.directory.path(), std::filesystem::perms::all);
  std::filesystem::permissions(setting.directory.database() + ".lock", std::filesystem::perms::all);
  std::filesystem::permissions(setting.directory.database(), std::filesystem::perms::none);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    constexpr uid_t nobody = 65'534;
    if (::geteuid() == 0 && ::setuid(nobody) != 0) ::_exit(2);
    const auto store = setting.try_open();
    const bool is_clear =
        !store && store.error().reason == "DATABASE_NOT_ACCESSIBLE" &&
        store.error().message.find("Permission denied") != std::string::npos &&
        store.error().message.find(setting.directory.database()) != std::string::npos;
    ::_exit(is_clear ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace staithe::store
