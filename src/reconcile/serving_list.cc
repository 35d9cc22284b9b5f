#include "reconcile/serving_list.h"

#include <utility>

#include "reconcile/scaler.h"

namespace staithe::reconcile {

void ServingList::publish(const model::Id& deployment_id) {
  std::vector<ServingReplica> now = serving(deployment_id);
  const auto known = published_.find(deployment_id);
  if (known == published_.end() ? now.empty() : known->second == now) return;
  if (now.empty()) {
    published_.erase(known);
  } else {
    published_[deployment_id] = now;
  }
  if (hooks_.on_serving) hooks_.on_serving(deployment_id, std::move(now));
}

void ServingList::publish_all() {
  for (const auto& [id, deployment] : world_.deployments()) publish(id);
}

std::vector<ServingReplica> ServingList::serving(const model::Id& deployment_id) const {
  std::vector<ServingReplica> replicas;
  const auto* deployment = world_.find_deployment(deployment_id);
  if (deployment == nullptr) return replicas;
  const std::uint32_t concurrency = concurrency_of(deployment->value.spec, catalogue_);
  for (const model::Id& id : world_.replicas_of(deployment_id)) {
    const runtime::ReplicaState* state = states_.find(deployment_id, id);
    if (state == nullptr || state->phase != runtime::ReplicaPhase::ready) continue;
    replicas.push_back({.id = id,
                        .host = state->host,
                        .port = state->port,
                        .concurrency = concurrency,
                        .is_draining = world_.find_replica(id)->value.draining});
  }
  return replicas;
}

}  // namespace staithe::reconcile
