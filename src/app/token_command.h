#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "app/config.h"

namespace staithe::app {

// `staithe token create|list|revoke`: works on the data directory, beside a running server or
// without one. A server learns of a change within a second. Exit codes: 0, 1 when it could not be
// done, 2 on bad usage.
int run_token_command(const std::vector<std::string>& arguments, const Environment& environment,
                      std::ostream& out, std::ostream& err);

}  // namespace staithe::app
