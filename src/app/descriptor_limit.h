#pragma once

#include <cstddef>

namespace staithe::app {

// Raises how many descriptors this process may have open as far as it is allowed to, and returns
// the number. Systems start a process with 1,024 of them because select() knows no more, which is
// not enough to outlast a client that opens connections and says nothing.
std::size_t raise_descriptor_limit();

// How many connections of one server fit when `server_count` of them share `descriptors`. Some are
// kept for the store and the engines' pipes, and a quarter for connections to engines, which those
// of clients share one after the other.
std::size_t connections_per_server(std::size_t descriptors, std::size_t server_count);

}  // namespace staithe::app
