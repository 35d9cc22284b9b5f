#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "store/migrations/migrations.h"
#include "store/sqlite/connection.h"

namespace staithe::store {

// Brings the database to the last of `migrations`, all or nothing. A schema that is newer than
// that, or not Staithe's, is FAILED_PRECONDITION and left alone. `path` is for the message.
Result<void> migrate(Connection& connection, std::span<const migrations::Migration> migrations,
                     const std::string& path);

// FAILED_PRECONDITION unless the database is just there.
Result<void> require_latest_schema(Connection& connection,
                                   std::span<const migrations::Migration> migrations,
                                   const std::string& path);

}  // namespace staithe::store
