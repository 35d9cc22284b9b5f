#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "gateway/route_table.h"

namespace staithe::gateway {

// The deployment that takes the next request for `model`: those with a ready replica share the
// requests by weight; a weight of 0 gets nothing beside a positive one, and all zero is equal
// shares. Null when nobody is ready. A replica with load `excluded` counts as not ready (it just
// failed this very request).
//
// Successive turns are spread by the golden ratio over the range of weights (a Weyl sequence), so
// that shares are right to a few requests at any length, across all loops, with one atomic add.
const ServedDeployment* choose_deployment(const ServedModel& model,
                                          const ReplicaLoad* excluded = nullptr);

// The deployment that would take it if one were ready: that with the greatest weight.
const ServedDeployment& choose_unready_deployment(const ServedModel& model);

// The replica with the fewest requests in flight, ties by chance. Replicas that are avoided come
// into it only if there is no other. Null when there is none but `excluded`.
const ServedReplica* choose_replica(const ServedDeployment& deployment, Instant now, Random& random,
                                    const ReplicaLoad* excluded = nullptr);

}  // namespace staithe::gateway
