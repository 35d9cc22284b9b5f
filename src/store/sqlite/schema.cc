#include "store/sqlite/schema.h"

#include <fmt/format.h>

#include "store/sqlite/open_errors.h"

namespace staithe::store {
namespace {

// A query for one number; nothing if it has no row.
Result<std::optional<std::int64_t>> number(Connection& connection, std::string_view sql,
                                           const std::string& path) {
  Query query(connection, sql);
  const int outcome = query.step();
  if (outcome == SQLITE_ROW) return std::optional(query.integer(0));
  if (outcome == SQLITE_DONE) return {std::nullopt};
  return open_errors::unusable(path, outcome, connection.message());
}

// 0 for a database without any table.
Result<std::int64_t> present_version(Connection& connection, const std::string& path) {
  TRY_ASSIGN(const auto table_count,
             number(connection, "SELECT count(*) FROM sqlite_schema", path));
  if (table_count == 0) return 0;
  TRY_ASSIGN(const auto meta_count,
             number(connection,
                    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', "
                    "'resources', 'unique_keys', 'tombstones')",
                    path));
  if (meta_count != 4) return open_errors::not_ours(path);
  TRY_ASSIGN(const auto version,
             number(connection, "SELECT value FROM meta WHERE name = 'schema_version'", path));
  if (!version) return open_errors::not_ours(path);
  return *version;
}

std::int64_t latest_version(std::span<const migrations::Migration> migrations) {
  return migrations.empty() ? 0 : migrations.back().version;
}

Result<void> run(Connection& connection, const std::string& sql, const std::string& path) {
  const int outcome = connection.execute(sql);
  if (outcome == SQLITE_OK) return {};
  return open_errors::unusable(path, outcome, connection.message());
}

Result<void> migrate_in_transaction(Connection& connection,
                                    std::span<const migrations::Migration> migrations,
                                    const std::string& path) {
  TRY_ASSIGN(const std::int64_t present, present_version(connection, path));
  const std::int64_t latest = latest_version(migrations);
  if (present > latest) return open_errors::schema_too_new(path, present, latest);
  for (const migrations::Migration& migration : migrations) {
    if (migration.version <= present) continue;
    TRY(run(connection, std::string(migration.sql), path));
    TRY(run(
        connection,
        fmt::format("UPDATE meta SET value = {} WHERE name = 'schema_version'", migration.version),
        path));
  }
  return run(connection, "COMMIT", path);
}

}  // namespace

Result<void> migrate(Connection& connection, std::span<const migrations::Migration> migrations,
                     const std::string& path) {
  TRY(run(connection, "BEGIN IMMEDIATE", path));
  Result<void> migrated = migrate_in_transaction(connection, migrations, path);
  if (!migrated) connection.execute("ROLLBACK");
  return migrated;
}

Result<void> require_latest_schema(Connection& connection,
                                   std::span<const migrations::Migration> migrations,
                                   const std::string& path) {
  TRY_ASSIGN(const std::int64_t present, present_version(connection, path));
  const std::int64_t latest = latest_version(migrations);
  if (present > latest) return open_errors::schema_too_new(path, present, latest);
  if (present < latest) return open_errors::schema_too_old(path, present, latest);
  return {};
}

}  // namespace staithe::store
