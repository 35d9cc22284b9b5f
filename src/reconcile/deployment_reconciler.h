#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "reconcile/capacity.h"
#include "reconcile/deployment_plan.h"
#include "reconcile/driver_actions.h"
#include "reconcile/loop_options.h"
#include "reconcile/outcome.h"
#include "reconcile/replica_states.h"
#include "reconcile/scaler.h"
#include "reconcile/serving.h"
#include "reconcile/serving_list.h"
#include "reconcile/world.h"
#include "store/store.h"

namespace staithe::reconcile {

// Runs a deployment's replicas.
//
// A replica's record, with its GPU slots as unique keys, is committed before its engine is started
// and removed after the engine is known to be gone: at every moment each engine has a record, and a
// slot is free only when nothing uses it.
class DeploymentReconciler {
 public:
  DeploymentReconciler(const Clock& clock, const Log& log, store::Store& store, World& world,
                       Capacity& capacity, ReplicaStates& states, DriverActions& actions,
                       const Scaler& scaler, ServingList& serving, const Hooks& hooks,
                       const LoopOptions& options)
      : clock_(clock),
        log_(log),
        store_(store),
        world_(world),
        capacity_(capacity),
        states_(states),
        actions_(actions),
        scaler_(scaler),
        serving_(serving),
        hooks_(hooks),
        options_(options),
        started_at_(clock.instant()) {}

  Outcome reconcile(const model::Id& id);

  // What a pass over a deployment goes by, and what it would go by were the deployment like this.
  DeploymentView observe(const model::Id& id) const;
  DeploymentView observe(model::Deployment deployment) const;

 private:
  Result<void> write_intents(const DeploymentView& view, const DeploymentPlan& plan);
  // The actions of the driver; they note in `outcome` what went wrong and when to look again. What
  // has only begun wakes the loop when it is over.
  void start(const DeploymentView& view, const DeploymentPlan& plan, Outcome& outcome);
  bool is_too_soon(const model::Replica& replica) const;
  Result<void> retire(const DeploymentView& view, Outcome& outcome);
  bool stop(const SeenReplica& replica, Outcome& outcome);
  bool may_stop(const SeenReplica& replica, Outcome& outcome);
  void watch(const DeploymentView& view, Outcome& outcome) const;
  Result<void> report(const DeploymentView& view, const DeploymentPlan& plan, Outcome& outcome);
  Result<void> finish(const model::Id& id);

  const Clock& clock_;
  const Log& log_;
  store::Store& store_;
  World& world_;
  Capacity& capacity_;
  ReplicaStates& states_;
  DriverActions& actions_;
  const Scaler& scaler_;
  ServingList& serving_;
  const Hooks& hooks_;
  const LoopOptions& options_;
  const Instant started_at_;
  // Since when replicas drain. Forgotten by a restart, which then grants the time anew.
  std::map<model::Id, Instant> draining_since_;
  std::map<model::Id, Instant> retry_at_;  // of replicas, should their last start have failed
};

}  // namespace staithe::reconcile
