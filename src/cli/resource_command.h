#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "cli/resources.h"

namespace staithe::cli {

// `staithe claim|gateway|deployment VERB …`; `arguments` are those after the kind.
int run_resource_command(const Kind& kind, const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment, std::ostream& out,
                         std::ostream& err);

}  // namespace staithe::cli
