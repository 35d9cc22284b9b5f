#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/resource.h"
#include "reconcile/demand.h"

namespace staithe::reconcile {

// A replica that answered its readiness probe, as the data plane needs it.
struct ServingReplica {
  model::Id id;
  std::string host;  // an IP address
  std::uint16_t port = 0;
  std::uint32_t concurrency = 0;  // requests it takes at once
  bool is_draining = false;       // finishes what it has, takes nothing new

  bool operator==(const ServingReplica&) const = default;
};

// How the control plane and the data plane talk. Called on the control thread; both must be quick.
struct Hooks {
  // All serving replicas of a deployment, whenever they differ from the last call; empty when none
  // is left. After a restart it is called for everything that still runs before anything else.
  std::function<void(const model::Id& deployment_id, std::vector<ServingReplica> replicas)>
      on_serving;
  // True once nothing chooses this replica any more and the last request at it is over. False while
  // the data plane has not taken over the last on_serving(). Absent: always drained.
  std::function<bool(const model::Id& replica_id)> is_drained;
  // What the gateways have counted for a deployment; all zero if it never had a request. Nothing
  // while they do not answer. Absent: nobody counts.
  std::function<std::optional<DemandReading>(const model::Id& deployment_id)> demand;
  // The deployments that have requests, or had since the last call: those to look at although
  // nothing else is to be done about them. Absent: none.
  std::function<std::vector<model::Id>()> active_deployments;
};

}  // namespace staithe::reconcile
