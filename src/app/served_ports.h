#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "app/config.h"
#include "base/result.h"
#include "net/http_server.h"

namespace staithe::app {

// A port that is served, with one listener per event loop: the kernel spreads connections over
// them.
struct ServedPort {
  net::TlsPolicy tls_policy;
  std::vector<net::Listener> listeners;
};

struct ServedPorts {
  std::vector<ServedPort> ports;
  std::vector<std::string> urls;  // where they are reached, http before https
};

// Listens on the one port of `config`, or on the two. `contexts` is null without TLS.
// FAILED_PRECONDITION "PORT_TAKEN" if somebody else does.
Result<ServedPorts> listen_on_ports(const Config& config, const net::TlsContextSlot* contexts);

// The same for a server that follows another on its ports: nothing is listened to before
// start_listening().
Result<ServedPorts> bind_to_ports(const Config& config, const net::TlsContextSlot* contexts);
Result<void> start_listening(const ServedPorts& served);

}  // namespace staithe::app
