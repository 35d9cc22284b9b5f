#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "reconcile/autoscale.h"

namespace staithe::reconcile {

struct LoopOptions {
  // So often what the driver lists is held against what it had said before, engine by engine.
  Duration sweep_interval = std::chrono::minutes{1};
  // So often everything is looked at although nothing asks for it.
  Duration resync_interval = std::chrono::minutes{30};
  Duration node_sync_interval = std::chrono::seconds{5};  // a machine that joined is seen by then
  // Detected machines that vanish together, more than half of them, are believed to be gone after
  // so many listings in a row without them and so long: what hides all at once is more likely to be
  // the way of looking than the machines.
  Duration node_loss_grace = std::chrono::seconds{30};
  std::uint32_t node_loss_sightings = 3;
  Duration replica_drain_max = std::chrono::seconds{30};  // running requests get this long
  Duration retry_interval = std::chrono::seconds{2};      // missing weights are looked for again
  Duration starting_interval = std::chrono::seconds{1};   // if the driver's word got lost
  // For so long after its own start the loop does not call a READY deployment broken because its
  // engines are only just being found or brought up again.
  Duration adoption_max = std::chrono::seconds{5};
  // Messages with numbers change many times while replicas come up: those changes of a status that
  // are only words wait until it is this old.
  Duration rewording_interval = std::chrono::seconds{1};
  Duration failure_delay_first = std::chrono::milliseconds{50};
  Duration failure_delay_max = std::chrono::seconds{30};
  ScaleOptions scaling;
  bool is_wandb_configured = false;  // keys of Weights & Biases can be verified
};

}  // namespace staithe::reconcile
