#pragma once

namespace staithe::net {

// What every connection of ours wants of its socket: no waiting to fill packets, no unsent bytes
// piling up in the kernel where high-water marks do not see them, and a probe that finds peers
// which have vanished without a word. On a listener: for the connections it accepts, which inherit
// them.
void set_connection_options(int fd);

}  // namespace staithe::net
