#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace staithe::cli {

// `staithe plan -f FILE`: says what creating or updating a claim or a deployment would do.
// `arguments` are those after "plan".
int run_plan_command(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment, std::ostream& out,
                     std::ostream& err);

}  // namespace staithe::cli
