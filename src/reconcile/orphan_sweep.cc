#include "reconcile/orphan_sweep.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

namespace staithe::reconcile {
namespace {

constexpr Duration stop_poll_interval_min = std::chrono::milliseconds{250};
constexpr Duration stop_poll_interval_max = std::chrono::seconds{2};

}  // namespace

Outcome OrphanSweep::reconcile() {
  if (Result<void> listed = states_.refresh_all(); !listed) return Outcome::failed(listed.error());
  if (Result<void> read = world_.refresh(); !read) return Outcome::failed(read.error());

  std::map<model::Id, model::Id> orphans;  // and their deployments
  for (const auto& [deployment_id, states] : states_.all()) {
    for (const auto& [id, state] : states) {
      if (world_.find_replica(id) == nullptr && !world_.is_unreadable(store::Kind::replica, id)) {
        orphans.emplace(id, deployment_id);
      }
    }
  }
  const Instant now = clock_.instant();
  std::erase_if(found_at_, [&orphans](const auto& each) { return !orphans.contains(each.first); });
  Outcome outcome = Outcome::again(interval_);
  for (const auto& [id, deployment_id] : orphans) {
    const auto [found, is_new] = found_at_.try_emplace(id, now);
    if (is_new) log_.warning("an engine without a record is stopped", {{"replica", id}});
    if (!actions_.is_under_way(id)) actions_.stop(deployment_id, {}, id);
    if (std::optional<Error> error = actions_.take_error(id)) {
      outcome.error = std::move(error);
    } else if (!actions_.is_gone(id)) {
      outcome.look_again(
          std::clamp(now - found->second, stop_poll_interval_min, stop_poll_interval_max));
    }
    if (!actions_.is_under_way(id)) actions_.forget(id);
  }
  return outcome;
}

}  // namespace staithe::reconcile
