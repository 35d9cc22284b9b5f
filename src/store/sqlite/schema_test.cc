#include "store/sqlite/schema.h"

#include <gtest/gtest.h>

#include <fstream>

#include "store/test_directory.h"

namespace staithe::store {
namespace {

using migrations::Migration;

class Schema : public testing::Test {
 protected:
  Schema() {
    std::ofstream(directory_.database()).close();
    auto opened = Connection::open(directory_.database(), Connection::Access::read_write);
    CHECK(opened.has_value());
    connection_ = std::move(opened).value();
  }

  Result<void> migrate_to(std::span<const Migration> list) {
    return migrate(*connection_, list, directory_.database());
  }
  std::int64_t number(std::string_view sql) {
    Query query(*connection_, sql);
    EXPECT_EQ(query.step(), SQLITE_ROW) << connection_->message();
    return query.integer(0);
  }
  std::int64_t version() { return number("SELECT value FROM meta WHERE name = 'schema_version'"); }

  // The real history and two migrations that it does not have.
  std::vector<Migration> longer_history(std::string_view last_sql) {
    std::vector<Migration> list(migrations::all().begin(), migrations::all().end());
    const int latest = list.back().version;
    list.push_back({latest + 1, "CREATE TABLE later (x INTEGER); INSERT INTO later VALUES (1)"});
    list.push_back({latest + 2, last_sql});
    return list;
  }

  TestDirectory directory_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(Schema, numbers_its_migrations_without_gaps) {
  int expected = 0;
  for (const Migration& migration : migrations::all()) EXPECT_EQ(migration.version, ++expected);
}

TEST_F(Schema, is_reached_from_an_empty_database_and_reaching_it_again_changes_nothing) {
  ASSERT_TRUE(migrate_to(migrations::all()));
  EXPECT_EQ(version(), migrations::all().back().version);
  ASSERT_EQ(connection_->execute("UPDATE meta SET value = 7 WHERE name = 'revision'"), SQLITE_OK);
  ASSERT_TRUE(migrate_to(migrations::all()));
  EXPECT_EQ(number("SELECT value FROM meta WHERE name = 'revision'"), 7);
}

TEST_F(Schema, is_reached_from_every_earlier_version) {
  const auto history = longer_history("UPDATE later SET x = x + 1");
  for (std::size_t earlier = 0; earlier < history.size(); ++earlier) {
    TestDirectory directory;
    std::ofstream(directory.database()).close();
    const auto opened = Connection::open(directory.database(), Connection::Access::read_write);
    Connection& connection = **opened;
    if (earlier > 0) {
      ASSERT_TRUE(migrate(connection, std::span(history).first(earlier), directory.database()));
    }
    ASSERT_TRUE(migrate(connection, history, directory.database())) << "from " << earlier;
    Query query(connection, "SELECT x FROM later");
    ASSERT_EQ(query.step(), SQLITE_ROW);
    EXPECT_EQ(query.integer(0), 2) << "each migration runs once, from " << earlier;
  }
}

TEST_F(Schema, stays_as_it_was_when_a_migration_fails) {
  ASSERT_TRUE(migrate_to(migrations::all()));
  const auto migrated = migrate_to(longer_history("UPDATE nothing SET x = 1"));
  ASSERT_FALSE(migrated);
  EXPECT_NE(migrated.error().message.find(directory_.database()), std::string::npos);
  EXPECT_EQ(version(), migrations::all().back().version);
  EXPECT_EQ(number("SELECT count(*) FROM sqlite_schema WHERE name = 'later'"), 0);
}

TEST_F(Schema, that_is_newer_is_refused) {
  const auto history = longer_history("SELECT 1");
  ASSERT_TRUE(migrate_to(history));
  const auto migrated = migrate_to(migrations::all());
  ASSERT_FALSE(migrated);
  EXPECT_EQ(migrated.error().reason, "DATABASE_TOO_NEW");
  EXPECT_EQ(version(), history.back().version);
}

TEST_F(Schema, keeps_overselling_out_of_the_database_whoever_writes) {
  ASSERT_TRUE(migrate_to(migrations::all()));
  const std::string two_records =
      "INSERT INTO resources VALUES (5, 'r1', '', '', '', 1, 1, 0), (5, 'r2', '', '', '', 1, 1, 0);"
      "INSERT INTO unique_keys VALUES ('gpu-slot', 'n1/0', 5, 'r1');";
  ASSERT_EQ(connection_->execute(two_records), SQLITE_OK);
  EXPECT_EQ(connection_->execute("INSERT INTO unique_keys VALUES ('gpu-slot', 'n1/0', 5, 'r2')"),
            SQLITE_CONSTRAINT_PRIMARYKEY);
  EXPECT_EQ(connection_->execute("INSERT INTO unique_keys VALUES ('gpu-slot', 'n1/1', 5, 'r3')"),
            SQLITE_CONSTRAINT_FOREIGNKEY);
  EXPECT_EQ(connection_->execute("DELETE FROM resources WHERE id = 'r1'"), SQLITE_OK);
  EXPECT_EQ(number("SELECT count(*) FROM unique_keys"), 0);
}

}  // namespace
}  // namespace staithe::store
