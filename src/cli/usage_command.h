#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace staithe::cli {

// `staithe usage …`: what was used, by whom; `arguments` are those after "usage".
int run_usage_command(const std::vector<std::string>& arguments,
                      const std::map<std::string, std::string>& environment, std::ostream& out,
                      std::ostream& err);

}  // namespace staithe::cli
