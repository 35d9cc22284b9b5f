#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace staithe::cli {

// `staithe limit VERB …`; `arguments` are those after "limit".
int run_limit_command(const std::vector<std::string>& arguments,
                      const std::map<std::string, std::string>& environment, std::ostream& out,
                      std::ostream& err);

}  // namespace staithe::cli
