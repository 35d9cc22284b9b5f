#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace staithe::engine {

// `staithe engine simulate [flags]`: serves until SIGTERM or SIGINT, then drains. Exit code 0; 1
// when the port cannot be had, 2 on bad usage.
int run_engine_command(const std::vector<std::string>& arguments, std::ostream& out,
                       std::ostream& err);

}  // namespace staithe::engine
