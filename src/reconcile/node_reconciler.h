#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "reconcile/outcome.h"
#include "reconcile/world.h"
#include "runtime/driver.h"
#include "store/store.h"

namespace staithe::reconcile {

// Keeps the node records equal to the driver's machines. A machine that vanished keeps its record,
// not schedulable, while a claim or a replica still names it, so that it is itself when it is back.
class NodeReconciler {
 public:
  NodeReconciler(const Clock& clock, const Log& log, store::Store& store, runtime::Driver& driver,
                 World& world, Duration interval)
      : clock_(clock),
        log_(log),
        store_(store),
        driver_(driver),
        world_(world),
        interval_(interval) {}

  // All machines at once.
  Outcome reconcile();

 private:
  const Clock& clock_;
  const Log& log_;
  store::Store& store_;
  runtime::Driver& driver_;
  World& world_;
  const Duration interval_;
};

}  // namespace staithe::reconcile
