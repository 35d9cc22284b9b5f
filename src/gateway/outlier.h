#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "gateway/route_table.h"

namespace staithe::gateway {

// When a replica that fails one request after the other gets none for a while.
struct OutlierOptions {
  std::uint32_t failures_max = 5;  // in a row; 0: nobody is ejected
  std::chrono::milliseconds ejected_for{10'000};
  std::chrono::milliseconds ejected_for_max{300'000};
  std::uint32_t percent_max = 50;  // of a deployment's replicas at once, but one may always be
};

// Whether a status says that the replica, and not the request, is at fault: 502, 503 and 504. A 4xx
// never does, and a 500 may well be what this one prompt does to any replica.
bool is_replica_fault(std::uint16_t status);

// Counts a failure of one of the deployment's replicas. If it was one too many the replica is
// avoided from now on, and the result says for how long: each time twice as long as the time
// before, unless it had been fine for as long as that. The last replica is never ejected, nor more
// than the options' part of them. (Two loops that eject at the same moment may exceed that; when
// all replicas are avoided, all are chosen from.)
std::optional<Duration> count_failure(const ServedDeployment& deployment, ReplicaLoad& load,
                                      const OutlierOptions& options, Instant now);

}  // namespace staithe::gateway
