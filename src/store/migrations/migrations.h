#pragma once

#include <span>
#include <string_view>

// The history of the database's schema, forward only. A migration that has been released is never
// edited: a change is a new file with the next number.
namespace staithe::store::migrations {

struct Migration {
  int version;           // of the schema after it; 1, 2, 3, ...
  std::string_view sql;  // runs inside a transaction, so it neither begins nor commits one
};

extern const std::string_view sql_0001_initial;
extern const std::string_view sql_0002_usage;

// All of them, in order.
std::span<const Migration> all();

}  // namespace staithe::store::migrations
