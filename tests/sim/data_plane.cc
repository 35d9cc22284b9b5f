#include "sim/data_plane.h"

#include "reconcile/loop_options.h"

namespace staithe::sim {
namespace {

using namespace std::chrono_literals;

}  // namespace

void DataPlane::take(const model::Id& deployment_id,
                     std::vector<reconcile::ServingReplica> replicas) {
  if (life_.is_over()) return;
  witness_.see_serving(deployment_id, replicas);
  List& list = taken_[deployment_id];
  list.version += 1;
  list.replicas = std::move(replicas);
  const Duration late = stage_.strikes(stage_.weather.serving_is_late, "serving list late")
                            ? stage_.dice.between(Duration{10ms}, Duration{10s})
                            : stage_.dice.between(Duration{0}, Duration{5ms});
  stage_.timeline.after(late, owner_, [this, deployment_id, version = list.version] {
    apply(deployment_id, version, taken_[deployment_id].replicas);
  });
}

void DataPlane::apply(const model::Id& deployment_id, std::uint64_t version,
                      const std::vector<reconcile::ServingReplica>& replicas) {
  List& list = applied_[deployment_id];
  if (list.version >= version) return;
  list = taken_[deployment_id];
  std::erase_if(routable_, [&](const auto& each) {
    if (each.second != deployment_id) return false;
    for (const reconcile::ServingReplica& replica : replicas) {
      if (replica.id == each.first && !replica.is_draining) return false;
    }
    // What runs there goes on for a while.
    Duration busy{0};
    if (stage_.dice.chance(0.4)) busy = stage_.dice.between(Duration{1ms}, Duration{5s});
    if (stage_.dice.chance(0.1)) busy = stage_.dice.between(Duration{1s}, Duration{60s});
    busy_until_[each.first] = stage_.now() + busy;
    return true;
  });
  for (const reconcile::ServingReplica& replica : replicas) {
    if (!replica.is_draining) routable_.emplace(replica.id, deployment_id);
  }
}

bool DataPlane::is_drained(const model::Id& replica_id) {
  if (life_.is_over()) return false;
  for (const auto& [deployment_id, list] : taken_) {
    if (applied_[deployment_id].version == list.version) continue;
    for (const reconcile::ServingReplica& replica : list.replicas) {
      if (replica.id == replica_id) return false;
    }
  }
  if (sends_to(replica_id)) return false;
  const auto busy = busy_until_.find(replica_id);
  if (busy != busy_until_.end() && busy->second > stage_.now()) return false;
  return !stage_.strikes(stage_.weather.drained_is_late, "drained late");
}

bool DataPlane::would_cut(const model::Id& replica_id) const {
  const auto busy = busy_until_.find(replica_id);
  const bool has_requests =
      sends_to(replica_id) || (busy != busy_until_.end() && busy->second > stage_.now());
  if (!has_requests) return false;
  const auto since = witness_.draining_since(replica_id);
  return !since || stage_.now() - *since < reconcile::LoopOptions{}.replica_drain_max;
}

}  // namespace staithe::sim
