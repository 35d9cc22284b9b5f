#include "store/sqlite/connection.h"

namespace staithe::store {
namespace {

constexpr int busy_timeout_ms = 5'000;

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path, Access access) {
  sqlite3* database = nullptr;
  // No mutex of SQLite's own: a connection is used by one thread at a time.
  const int opened = sqlite3_open_v2(path.c_str(), &database,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Connection> connection(new Connection(database));
  if (opened != SQLITE_OK) {
    return Error{.code = Code::unavailable, .message = connection->message()};
  }
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, busy_timeout_ms);
  // A reader of a write-ahead log takes part in its shared memory, so that it too opens the file
  // for writing; query_only keeps it from writing rows.
  const char* settings =
      access == Access::read_only ? "PRAGMA query_only = ON" : "PRAGMA foreign_keys = ON";
  if (connection->execute(settings) != SQLITE_OK) {
    return Error{.code = Code::unavailable, .message = connection->message()};
  }
  return connection;
}

Connection::~Connection() {
  statements_.clear();
}

int Connection::execute(const std::string& sql) {
  return sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
}

std::int64_t Connection::changed_count() const {
  return sqlite3_changes64(database_.get());
}

std::string Connection::message() const {
  return sqlite3_errmsg(database_.get());
}

sqlite3_stmt* Connection::prepared(std::string_view sql) {
  const auto known = statements_.find(sql);
  if (known != statements_.end()) return known->second.get();
  sqlite3_stmt* statement = nullptr;
  const int outcome = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (outcome != SQLITE_OK) return nullptr;
  return statements_.emplace(sql, Statement(statement)).first->second.get();
}

Query::Query(Connection& connection, std::string_view sql)
    : statement_(connection.prepared(sql)),
      outcome_(statement_ != nullptr ? SQLITE_OK
                                     : sqlite3_extended_errcode(connection.database_.get())) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

int Query::step() {
  if (outcome_ == SQLITE_OK || outcome_ == SQLITE_ROW) outcome_ = sqlite3_step(statement_);
  return outcome_;
}

std::int64_t Query::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Query::text(int column) const {
  return std::string(view(column));
}

std::string_view Query::view(int column) const {
  // The text first: it may have to be converted, which changes its length.
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return data == nullptr ? std::string_view() : std::string_view(data, size);
}

void Query::bind(int index, std::int64_t value) {
  if (outcome_ == SQLITE_OK) outcome_ = sqlite3_bind_int64(statement_, index, value);
}

void Query::bind(int index, std::string_view value) {
  if (outcome_ != SQLITE_OK) return;
  // A null pointer would bind NULL, not an empty text.
  const char* data = value.data() == nullptr ? "" : value.data();
  outcome_ =
      sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void Query::bind(int index, const std::optional<std::string>& value) {
  if (value) {
    bind(index, std::string_view(*value));
  } else if (outcome_ == SQLITE_OK) {
    outcome_ = sqlite3_bind_null(statement_, index);
  }
}

}  // namespace staithe::store
