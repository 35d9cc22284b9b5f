#pragma once

#include <cstdint>
#include <optional>

namespace staithe::net {

// How many bytes of a TCP connection the peer's kernel has acknowledged (RFC 4898,
// tcpEStatsAppHCThruOctetsAcked); nothing if this kernel cannot say. A connection's own beginning
// may count as one.
std::optional<std::uint64_t> acknowledged_bytes(int fd);

}  // namespace staithe::net
