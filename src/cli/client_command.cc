#include "cli/client_command.h"

#include "cli/limit_command.h"
#include "cli/node_command.h"
#include "cli/plan_command.h"
#include "cli/resource_command.h"
#include "cli/usage_command.h"

namespace staithe::cli {

bool is_client_command(const std::string& word) {
  return word == "claim" || word == "gateway" || word == "deployment" || word == "node" ||
         word == "plan" || word == "usage" || word == "limit";
}

int run_client_command(const std::vector<std::string>& arguments,
                       const std::map<std::string, std::string>& environment, std::ostream& out,
                       std::ostream& err) {
  const std::string& word = arguments.at(0);
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (word == "node") return run_node_command(rest, environment, out, err);
  if (word == "plan") return run_plan_command(rest, environment, out, err);
  if (word == "usage") return run_usage_command(rest, environment, out, err);
  if (word == "limit") return run_limit_command(rest, environment, out, err);
  for (const Kind* kind : {&claim_kind, &gateway_kind}) {
    if (kind->word == word) return run_resource_command(*kind, rest, environment, out, err);
  }
  return run_resource_command(deployment_kind, rest, environment, out, err);
}

}  // namespace staithe::cli
