#pragma once

#include <cstddef>

namespace staithe::net {

// How many bytes one connection may hold for a peer that does not take them before its feeder is
// told to stop, and how few must be left before it is told to go on.
inline constexpr std::size_t high_water_bytes = 64 * 1024;
inline constexpr std::size_t low_water_bytes = 16 * 1024;

}  // namespace staithe::net
