#include "reconcile/replica_states.h"

#include <utility>

namespace staithe::reconcile {

Result<void> ReplicaStates::refresh() {
  if (is_fresh_) return {};
  TRY_ASSIGN(std::vector<runtime::ReplicaState> listed, driver_.list());
  states_.clear();
  for (runtime::ReplicaState& state : listed) {
    const model::Id id = state.id;
    states_.insert_or_assign(id, std::move(state));
  }
  is_fresh_ = true;
  return {};
}

const runtime::ReplicaState* ReplicaStates::find(const model::Id& replica_id) const {
  const auto found = states_.find(replica_id);
  return found == states_.end() ? nullptr : &found->second;
}

Result<runtime::ReplicaState> ReplicaStates::ensure(const runtime::ReplicaSpec& spec) {
  TRY_ASSIGN(runtime::ReplicaState state, driver_.ensure(spec));
  states_.insert_or_assign(spec.id, state);
  return state;
}

Result<bool> ReplicaStates::stop(const model::Id& replica_id) {
  TRY_ASSIGN(const bool is_gone, driver_.stop(replica_id));
  const auto found = states_.find(replica_id);
  if (found == states_.end()) return is_gone;
  if (is_gone) {
    states_.erase(found);
  } else {
    found->second.phase = runtime::ReplicaPhase::stopping;
  }
  return is_gone;
}

}  // namespace staithe::reconcile
