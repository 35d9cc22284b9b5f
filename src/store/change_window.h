#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "store/store.h"

// The rules of the change feed, alike in every store.
namespace staithe::store {

// True when removals after `asked` may be forgotten, or `asked` is from another store's future (a
// restored backup). Who asks from 0 knows of nothing that could have been removed.
bool is_lost(std::uint64_t asked, std::uint64_t present, std::uint64_t pruned_to);

// At most `limit` of `changes` (ascending revision), never cutting a revision in two; `present` is
// the store's revision as of `changes`.
Changes cut_changes(std::vector<Change> changes, std::uint64_t present, std::size_t limit);

}  // namespace staithe::store
