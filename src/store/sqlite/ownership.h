#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace staithe::store {

// Takes the database at `path` for this process by a lock on a file beside it, and makes the
// database file if there is none (readable by its owner only: it holds secrets). The database is
// owned for as long as the descriptor lives; the kernel frees it however the process ends.
Result<UniqueFd> take_ownership(const std::string& path);

}  // namespace staithe::store
