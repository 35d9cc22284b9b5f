#pragma once

#include <cstddef>

namespace staithe::app {

// Raises how many descriptors this process may have open as far as it is allowed to, and returns
// the number. Systems start a process with 1,024 of them because select() knows no more, which is
// not enough to outlast a client that opens connections and says nothing.
std::size_t raise_descriptor_limit();

// How many of a loop's connections fit when `loop_count` loops share `descriptors`: some are kept
// for the store and for engines, and a connection of the data plane needs a second one to its
// engine.
std::size_t connections_per_loop(std::size_t descriptors, std::size_t loop_count);

}  // namespace staithe::app
