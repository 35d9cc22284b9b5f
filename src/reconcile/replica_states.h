#pragma once

#include <map>

#include "base/result.h"
#include "runtime/driver.h"

namespace staithe::reconcile {

// What the driver says about replicas, listed at most once per turn of the loop and kept up with
// what our own calls answer. One thread.
class ReplicaStates {
 public:
  using Table = std::map<model::Id, runtime::ReplicaState>;

  explicit ReplicaStates(runtime::Driver& driver) : driver_(driver) {}

  // The next refresh() asks the driver again.
  void expire() { is_fresh_ = false; }
  // On an error nothing may be concluded from what all() and find() say.
  Result<void> refresh();

  const Table& all() const { return states_; }
  const runtime::ReplicaState* find(const model::Id& replica_id) const;

  Result<runtime::ReplicaState> ensure(const runtime::ReplicaSpec& spec);
  // True when it is gone.
  Result<bool> stop(const model::Id& replica_id);

 private:
  runtime::Driver& driver_;
  bool is_fresh_ = false;
  Table states_;
};

}  // namespace staithe::reconcile
