#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "reconcile/outcome.h"
#include "reconcile/world.h"
#include "store/store.h"

namespace staithe::reconcile {

// Brings gateways up and away. This very process serves them, so one that is recorded is listening;
// one that is being deleted goes as soon as no deployment names it any more.
//
// Weights & Biases keys that nobody here can verify are all refused: the gateway works as
// specified, so it is READY, and AuthReady says that the provider cannot be asked.
class GatewayReconciler {
 public:
  GatewayReconciler(const Clock& clock, const Log& log, store::Store& store, World& world,
                    bool is_wandb_configured)
      : clock_(clock),
        log_(log),
        store_(store),
        world_(world),
        is_wandb_configured_(is_wandb_configured) {}

  Outcome reconcile(const model::Id& id);

 private:
  Outcome remove_when_unused(const store::Versioned<model::Gateway>& gateway);
  std::vector<model::Condition> describe(const model::Gateway& gateway) const;

  const Clock& clock_;
  const Log& log_;
  store::Store& store_;
  World& world_;
  const bool is_wandb_configured_;
};

}  // namespace staithe::reconcile
