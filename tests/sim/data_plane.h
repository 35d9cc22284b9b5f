#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "reconcile/serving.h"
#include "sim/life.h"
#include "sim/stage.h"
#include "sim/witness.h"

namespace staithe::sim {

// The gateways of one process of ours: requests that run at replicas, and lists that arrive late.
class DataPlane {
 public:
  DataPlane(Stage& stage, Timeline::Owner owner, const Life& life, Witness& witness)
      : stage_(stage), owner_(owner), life_(life), witness_(witness) {}

  // As reconcile::Hooks.
  void take(const model::Id& deployment_id, std::vector<reconcile::ServingReplica> replicas);
  bool is_drained(const model::Id& replica_id);

  bool sends_to(const model::Id& replica_id) const { return routable_.contains(replica_id); }
  // Whether a stop would end requests that have not had the time they are granted.
  bool would_cut(const model::Id& replica_id) const;

 private:
  void apply(const model::Id& deployment_id, std::uint64_t version,
             const std::vector<reconcile::ServingReplica>& replicas);

  Stage& stage_;
  const Timeline::Owner owner_;
  const Life& life_;
  Witness& witness_;
  struct List {
    std::uint64_t version = 0;
    std::vector<reconcile::ServingReplica> replicas;
  };
  std::map<model::Id, List> taken_;          // by deployment
  std::map<model::Id, List> applied_;        // a little later
  std::map<model::Id, model::Id> routable_;  // replica to deployment
  std::map<model::Id, Instant> busy_until_;
};

}  // namespace staithe::sim
