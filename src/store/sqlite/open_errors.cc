#include "store/sqlite/open_errors.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <system_error>

namespace staithe::store::open_errors {
namespace {

Error refuse(std::string message, std::string_view reason) {
  return {.code = Code::failed_precondition,
          .message = std::move(message),
          .reason = std::string(reason)};
}

}  // namespace

Error cannot_open(const std::string& path, int cause) {
  return refuse(fmt::format("cannot open the database file {}: {}; give this user read and write "
                            "access to it and its directory, or choose another data directory",
                            path, std::generic_category().message(cause)),
                "DATABASE_NOT_ACCESSIBLE");
}

Error taken(const std::string& path, std::string_view holder) {
  return refuse(fmt::format("the database {} is in use by another Staithe{}; stop that one, or "
                            "choose another data directory",
                            path, holder.empty() ? "" : fmt::format(" (process {})", holder)),
                "DATABASE_IN_USE");
}

Error unusable(const std::string& path, int outcome, std::string_view message) {
  const int primary = outcome & 0xff;
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) return damaged(path, message);
  return refuse(fmt::format("the database {} cannot be used: {}; check that its disk has room and "
                            "that this user may write the file and its directory",
                            path, message),
                "DATABASE_NOT_USABLE");
}

Error damaged(const std::string& path, std::string_view what) {
  return {
      .code = Code::data_loss,
      .message = fmt::format("the database {} is damaged or not a database: {}; restore it from "
                             "a backup, or move it away to start with an empty one",
                             path, what),
      .reason = "DATABASE_DAMAGED"};
}

Error not_ours(const std::string& path) {
  return refuse(fmt::format("{} is a database, but not one of Staithe's; choose another data "
                            "directory, or move the file away",
                            path),
                "DATABASE_NOT_OURS");
}

Error schema_too_new(const std::string& path, std::int64_t present, std::int64_t latest) {
  return refuse(fmt::format("the database {} has schema version {}, and this Staithe knows only up "
                            "to version {}; run the newer Staithe that wrote it, or restore a "
                            "backup from before the upgrade",
                            path, present, latest),
                "DATABASE_TOO_NEW");
}

Error schema_too_old(const std::string& path, std::int64_t present, std::int64_t latest) {
  return refuse(fmt::format("the database {} has schema version {}, and this Staithe works with "
                            "version {}; start its server once to bring the database up to date",
                            path, present, latest),
                "DATABASE_TOO_OLD");
}

Error no_write_ahead_log(const std::string& path) {
  return refuse(fmt::format("the file system of the database {} does not support SQLite's "
                            "write-ahead log; choose a data directory on a local disk",
                            path),
                "DATABASE_NOT_USABLE");
}

}  // namespace staithe::store::open_errors
