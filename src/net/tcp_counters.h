#pragma once

#include <cstdint>

namespace staithe::net {

// How many bytes of this TCP connection the peer's kernel has acknowledged so far.
std::uint64_t tcp_acknowledged_bytes(int fd);

}  // namespace staithe::net
