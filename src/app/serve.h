#pragma once

#include <string>

#include "app/config.h"

namespace staithe::app {

// Builds the server of `config`, serves until SIGTERM or SIGINT, drains and returns the process's
// exit code: 0 after a drain, 1 when something outside keeps it from starting (a taken port, an
// unreadable database).
int serve(Config config, const std::string& self_path, const Environment& environment);

}  // namespace staithe::app
