#pragma once

#include <cstdint>

#include "base/clock.h"

namespace staithe::reconcile {

// What the gateways have counted for one deployment up to a moment: cumulative, so that nothing
// which happens between two readings is lost. A request counts from when it is assigned to the
// deployment until it is over, waiting included.
struct DemandReading {
  Instant at;
  std::uint64_t started = 0;  // requests ever
  std::uint64_t ended = 0;
  std::uint64_t busy_us = 0;  // the time of all of them, those that still run included, summed up
  std::uint64_t highest = 0;  // most requests at once since the reading before this one

  std::uint64_t in_flight() const { return started - ended; }
  bool operator==(const DemandReading&) const = default;
};

}  // namespace staithe::reconcile
