#pragma once

#include <map>

#include "base/clock.h"
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
  OrphanSweep(const Clock& clock, const Log& log, World& world, ReplicaStates& states,
              DriverActions& actions, Duration interval)
      : clock_(clock),
        log_(log),
        world_(world),
        states_(states),
        actions_(actions),
        interval_(interval) {}

  Outcome reconcile();

 private:
  const Clock& clock_;
  const Log& log_;
  World& world_;
  ReplicaStates& states_;
  DriverActions& actions_;
  const Duration interval_;
  std::map<model::Id, Instant> found_at_;  // of those that are there; stopping one may take long
};

}  // namespace staithe::reconcile
