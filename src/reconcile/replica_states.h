#pragma once

#include <map>
#include <set>
#include <utility>

#include "base/result.h"
#include "runtime/driver.h"

namespace staithe::reconcile {

// What the driver said about replicas, the last time it was asked. One thread.
class ReplicaStates {
 public:
  using Table = std::map<model::Id, runtime::ReplicaState>;  // by replica id

  explicit ReplicaStates(runtime::Driver& driver) : driver_(driver) {}

  // Asks about one deployment, or about everything. On an error nothing may be concluded from what
  // is remembered.
  Result<void> refresh(const model::Id& deployment_id);
  Result<void> refresh_all();

  const Table& of(const model::Id& deployment_id) const;
  const runtime::ReplicaState* find(const model::Id& deployment_id,
                                    const model::Id& replica_id) const;
  const std::map<model::Id, Table>& all() const { return by_deployment_; }

  // Deployments about which refresh_all() found something else than was known: whoever should have
  // said so did not.
  std::set<model::Id> take_surprises() { return std::exchange(surprises_, {}); }

 private:
  runtime::Driver& driver_;
  std::map<model::Id, Table> by_deployment_;  // none empty
  std::set<model::Id> surprises_;
};

}  // namespace staithe::reconcile
