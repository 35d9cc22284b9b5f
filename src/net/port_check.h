#pragma once

#include "base/result.h"
#include "net/http_server.h"

namespace staithe::net {

// Listeners of ours share their port (SO_REUSEPORT), with those of another server of the same user
// too. FAILED_PRECONDITION if somebody listens on the address already; port 0 is always free.
Result<void> check_port_is_free(const ListenAddress& address);

}  // namespace staithe::net
