#pragma once

#include <set>

#include "base/log.h"
#include "reconcile/driver_actions.h"
#include "reconcile/outcome.h"
#include "reconcile/replica_states.h"
#include "reconcile/world.h"

namespace staithe::reconcile {

// Stops engines that no record knows. A record is written before its engine starts and goes after
// it, so an engine without one is nobody's; but only what was listed before the records were read
// may be judged by them.
class OrphanSweep {
 public:
  OrphanSweep(const Log& log, World& world, ReplicaStates& states, DriverActions& actions,
              Duration interval)
      : log_(log), world_(world), states_(states), actions_(actions), interval_(interval) {}

  Outcome reconcile();

 private:
  const Log& log_;
  World& world_;
  ReplicaStates& states_;
  DriverActions& actions_;
  const Duration interval_;
  std::set<model::Id> named_;  // in the log; stopping one may take many tries
};

}  // namespace staithe::reconcile
