#pragma once

#include <map>
#include <vector>

#include "model/catalogue.h"
#include "reconcile/replica_states.h"
#include "reconcile/serving.h"
#include "reconcile/world.h"

namespace staithe::reconcile {

// Tells the data plane which replicas serve, whenever that changes. One thread.
class ServingList {
 public:
  ServingList(const model::Catalogue& catalogue, const World& world, const ReplicaStates& states,
              const Hooks& hooks)
      : catalogue_(catalogue), world_(world), states_(states), hooks_(hooks) {}

  // Only after the states were refreshed: a replica without a state counts as gone.
  void publish(const model::Id& deployment_id);
  void publish_all();

 private:
  std::vector<ServingReplica> serving(const model::Id& deployment_id) const;

  const model::Catalogue& catalogue_;
  const World& world_;
  const ReplicaStates& states_;
  const Hooks& hooks_;
  std::map<model::Id, std::vector<ServingReplica>> published_;
};

}  // namespace staithe::reconcile
