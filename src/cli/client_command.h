#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace staithe::cli {

// True of the words that run_client_command() understands.
bool is_client_command(const std::string& word);

// `staithe claim|gateway|deployment|node|limit VERB …`, `staithe plan …` and `staithe usage …`: a
// client of the public REST API and nothing else. `arguments` begins with the command. Exit codes:
// 0 done, 1 the API refused or cannot be reached, 2 bad usage, 3 `wait` ran out of time.
int run_client_command(const std::vector<std::string>& arguments,
                       const std::map<std::string, std::string>& environment, std::ostream& out,
                       std::ostream& err);

}  // namespace staithe::cli
