#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/api_client.h"

namespace staithe::cli {

// How the API calls a kind of resource.
struct Kind {
  std::string_view word;   // on the command line
  const char* collection;  // its path
  const char* list_member;
  const char* member;

  std::string path_of(std::string_view id) const {
    return std::string(collection) + "/" + std::string(id);
  }
};

inline constexpr Kind claim_kind{"claim", "/v1alpha1/inference/capacityclaims", "capacityClaims",
                                 "capacityClaim"};
inline constexpr Kind gateway_kind{"gateway", "/v1alpha1/inference/gateways", "items", "gateway"};
inline constexpr Kind deployment_kind{"deployment", "/v1alpha1/inference/deployments", "items",
                                      "deployment"};

// The id of the resource that `target` names by its id or its name; names are unique without regard
// to letter case.
Result<std::string> find_id(ApiClient& client, const Kind& kind, const std::string& target);

using Names = std::map<std::string, std::string>;
// The names of all resources of a kind by their ids.
Result<Names> names_by_id(ApiClient& client, const Kind& kind);

}  // namespace staithe::cli
