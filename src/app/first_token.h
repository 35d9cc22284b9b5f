#pragma once

#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "store/store.h"

namespace staithe::app {

// On the first start (no token in the store) makes one admin token for `organization` and writes
// its text to <data>/admin-token, which only its owner may read. The file comes first: a token
// nobody can read would lock everybody out.
Result<void> ensure_first_token(store::Store& store, const std::string& data_directory,
                                const std::string& organization, const Clock& clock, Random& random,
                                const Log& log);

}  // namespace staithe::app
