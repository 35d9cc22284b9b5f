#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

// Why a database cannot be opened, for the operator: each names the file and what to do about it.
namespace staithe::store::open_errors {

// `cause` is errno.
Error cannot_open(const std::string& path, int cause);
Error taken(const std::string& path, std::string_view holder);
// `outcome` is SQLite's result code, `message` its words.
Error unusable(const std::string& path, int outcome, std::string_view message);
Error damaged(const std::string& path, std::string_view what);
Error not_ours(const std::string& path);
Error schema_too_new(const std::string& path, std::int64_t present, std::int64_t latest);
Error schema_too_old(const std::string& path, std::int64_t present, std::int64_t latest);
Error no_write_ahead_log(const std::string& path);

}  // namespace staithe::store::open_errors
