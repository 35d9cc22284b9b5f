#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace staithe::store {

// A connection to a database and the statements prepared on it. One thread at a time.
//
// Outcomes are SQLite's own extended result codes (https://www.sqlite.org/rescode.html): what a
// code means to a caller is decided by whoever runs the statement.
class Connection {
 public:
  enum class Access { read_write, read_only };

  // Opens an existing database file; nothing is made. The error's message is SQLite's.
  static Result<std::unique_ptr<Connection>> open(const std::string& path, Access access);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs statements that answer nothing; SQLITE_OK or the first error.
  int execute(const std::string& sql);
  // Rows that the last INSERT, UPDATE or DELETE changed by itself.
  std::int64_t changed_count() const;
  // SQLite's words on the last error.
  std::string message() const;

 private:
  friend class Query;
  struct CloseDatabase {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  struct FinalizeStatement {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

  explicit Connection(sqlite3* database) : database_(database) {}
  // Null if `sql` does not prepare.
  sqlite3_stmt* prepared(std::string_view sql);

  std::unique_ptr<sqlite3, CloseDatabase> database_;
  std::unordered_map<std::string_view, Statement> statements_;  // by text; before database_ goes
};

// One run of a statement. `sql` is a literal: its statement is prepared once per connection, so two
// runs of the same text must not overlap.
class Query {
 public:
  Query(Connection& connection, std::string_view sql);
  // Binds `values` in order.
  template <typename... Values>
  Query(Connection& connection, std::string_view sql, const Values&... values)
      : Query(connection, sql) {
    int index = 0;
    (bind(++index, values), ...);
  }
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // SQLITE_ROW, SQLITE_DONE or an error, which also tells of what failed before.
  int step();
  // Columns of the present row, from 0.
  std::int64_t integer(int column) const;
  std::string text(int column) const;
  std::string_view view(int column) const;  // until the next step()

 private:
  void bind(int index, std::int64_t value);
  void bind(int index, std::uint64_t value) { bind(index, static_cast<std::int64_t>(value)); }
  void bind(int index, std::string_view value);
  void bind(int index, const std::string& value) { bind(index, std::string_view(value)); }
  void bind(int index, const std::optional<std::string>& value);  // nothing: NULL

  sqlite3_stmt* statement_;
  int outcome_;
};

}  // namespace staithe::store
