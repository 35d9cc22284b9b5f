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
Result<ServedPorts> listen_on_ports(const Config& config, const net::TlsContextSlot* contexts);

}  // namespace staithe::app
