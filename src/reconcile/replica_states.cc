#include "reconcile/replica_states.h"

#include <algorithm>
#include <vector>

namespace staithe::reconcile {
namespace {

// In what decides anything.
bool is_same(const runtime::ReplicaState& left, const runtime::ReplicaState& right) {
  return left.phase == right.phase && left.host == right.host && left.port == right.port &&
         left.reason == right.reason && left.message == right.message &&
         left.is_terminal == right.is_terminal && left.restarts == right.restarts;
}

bool is_same(const ReplicaStates::Table& left, const ReplicaStates::Table& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const auto& a, const auto& b) {
                      return a.first == b.first && is_same(a.second, b.second);
                    });
}

}  // namespace

Result<void> ReplicaStates::refresh(const model::Id& deployment_id) {
  TRY_ASSIGN(std::vector<runtime::ReplicaState> states, driver_.replicas_of(deployment_id));
  if (states.empty()) {
    by_deployment_.erase(deployment_id);
    return {};
  }
  Table table;
  for (runtime::ReplicaState& state : states) {
    const model::Id id = state.id;
    table.insert_or_assign(id, std::move(state));
  }
  by_deployment_.insert_or_assign(deployment_id, std::move(table));
  return {};
}

Result<void> ReplicaStates::refresh_all() {
  TRY_ASSIGN(std::vector<runtime::ReplicaState> listed, driver_.list());
  std::map<model::Id, Table> now;
  for (runtime::ReplicaState& state : listed) {
    const model::Id id = state.id;
    now[state.deployment_id].insert_or_assign(id, std::move(state));
  }
  for (const auto& [id, table] : by_deployment_) {
    if (!now.contains(id)) surprises_.insert(id);
  }
  for (const auto& [id, table] : now) {
    if (!is_same(of(id), table)) surprises_.insert(id);
  }
  by_deployment_ = std::move(now);
  return {};
}

const ReplicaStates::Table& ReplicaStates::of(const model::Id& deployment_id) const {
  static const Table nothing;
  const auto found = by_deployment_.find(deployment_id);
  return found == by_deployment_.end() ? nothing : found->second;
}

const runtime::ReplicaState* ReplicaStates::find(const model::Id& deployment_id,
                                                 const model::Id& replica_id) const {
  const Table& table = of(deployment_id);
  const auto found = table.find(replica_id);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace staithe::reconcile
