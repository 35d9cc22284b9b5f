#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/resource.h"

namespace staithe::model {

// How much an organization, or one of its tokens, may use of what is served. 0 is no limit.
struct Limit {
  std::string organization_id;
  std::string token_id;  // empty: the whole organization
  std::uint32_t requests_per_minute = 0;
  std::uint32_t tokens_per_minute = 0;
  std::uint32_t parallel_requests = 0;
  std::vector<std::string> models;  // that the token may call; empty: all

  // Says what is limited, so that there is one limit for it.
  Id id() const { return token_id.empty() ? organization_id : organization_id + ":" + token_id; }
  bool operator==(const Limit&) const = default;
};

}  // namespace staithe::model
