#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "reconcile/capacity.h"
#include "reconcile/outcome.h"
#include "reconcile/world.h"
#include "store/store.h"

namespace staithe::reconcile {

// Gives claims their nodes. Whose a node is stands in the claim's status and, as a unique key, in
// the store: both are written in one transaction, so that no node ever has two claims.
class ClaimReconciler {
 public:
  ClaimReconciler(const Clock& clock, const Log& log, store::Store& store, World& world,
                  Capacity& capacity)
      : clock_(clock), log_(log), store_(store), world_(world), capacity_(capacity) {}

  Outcome reconcile(const model::Id& id);

 private:
  const Clock& clock_;
  const Log& log_;
  store::Store& store_;
  World& world_;
  Capacity& capacity_;
};

}  // namespace staithe::reconcile
