#pragma once

#include <vector>

#include "app/config.h"

namespace staithe::app {

// The machines that --emulate pretends to have: the zones and instance types that the hosted API
// names in its documentation, with enough of each that nobody runs out on a laptop.
std::vector<NodeGroup> emulated_nodes();

}  // namespace staithe::app
