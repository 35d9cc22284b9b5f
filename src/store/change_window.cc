#include "store/change_window.h"

#include <utility>

namespace staithe::store {

bool is_lost(std::uint64_t asked, std::uint64_t present, std::uint64_t pruned_to) {
  return asked > present || (asked > 0 && asked < pruned_to);
}

Changes cut_changes(std::vector<Change> changes, std::uint64_t present, std::size_t limit) {
  if (changes.size() <= limit) return {.changes = std::move(changes), .revision = present};
  // The first revision that does not fit whole goes, unless it is the only one.
  std::size_t kept_count = limit;
  while (kept_count > 0 && changes[kept_count - 1].revision == changes[kept_count].revision) {
    --kept_count;
  }
  if (kept_count == 0) {
    const std::uint64_t first = changes.front().revision;
    while (kept_count < changes.size() && changes[kept_count].revision == first) ++kept_count;
  }
  changes.resize(kept_count);
  const std::uint64_t last = changes.back().revision;
  return {.changes = std::move(changes), .revision = last};
}

}  // namespace staithe::store
