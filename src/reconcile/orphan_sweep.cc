#include "reconcile/orphan_sweep.h"

#include <vector>

namespace staithe::reconcile {

Outcome OrphanSweep::reconcile() {
  states_.expire();
  if (Result<void> listed = states_.refresh(); !listed) return Outcome::failed(listed.error());
  if (Result<void> read = world_.refresh(); !read) return Outcome::failed(read.error());

  std::vector<model::Id> orphans;
  for (const auto& [id, state] : states_.all()) {
    if (world_.find_replica(id) == nullptr && !world_.is_unreadable(store::Kind::replica, id)) {
      orphans.push_back(id);
    }
  }
  Outcome outcome = Outcome::again(interval_);
  for (const model::Id& id : orphans) {
    log_.warning("an engine without a record is stopped", {{"replica", id}});
    const Result<bool> is_gone = states_.stop(id);
    if (!is_gone) {
      outcome.error = is_gone.error();
    } else if (!*is_gone) {
      outcome.look_again(std::chrono::milliseconds{250});
    }
  }
  return outcome;
}

}  // namespace staithe::reconcile
