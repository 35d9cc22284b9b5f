#pragma once

#include <cstdint>
#include <set>

#include "base/random.h"
#include "base/result.h"

namespace staithe::runtime {

// Ports for engines, both ends included. 0 to 0: whatever the kernel has free.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};

// Whether nothing listens on this port of 127.0.0.1 now.
bool is_port_free(std::uint16_t port);

// A free port outside `taken`. Somebody else may still get it first: the caller finds out when the
// engine ends at once and the port is not free. RESOURCE_EXHAUSTED when the range is full.
Result<std::uint16_t> choose_port(const PortRange& range, const std::set<std::uint16_t>& taken,
                                  Random& random);

}  // namespace staithe::runtime
