#pragma once

#include "net/event_loop.h"
#include "wire/method.h"

namespace staithe::tests {

// connectrpc.conformance.v1.ConformanceService: it answers what the call itself asks for and tells
// what arrived. Every method is public. `loop` is the one that serves it; delays pass on it.
wire::MethodTable conformance_methods(net::EventLoop& loop);

}  // namespace staithe::tests
