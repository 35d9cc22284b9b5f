#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/resource.h"
#include "store/store.h"

namespace staithe::service {

// What uses one node, read off the unique keys in the store.
struct NodeUse {
  struct Replica {
    model::Id deployment_id;
    std::string organization;
  };
  model::Id claim_id;  // empty: none
  std::string claim_organization;
  std::map<model::Id, Replica> replicas;  // by id
  std::uint32_t used_gpu_count = 0;

  bool is_empty() const { return claim_id.empty() && replicas.empty(); }
  // Of one organization, each once.
  std::vector<model::Id> deployments_of(std::string_view organization) const;
};

using NodeUses = std::map<model::Id, NodeUse, std::less<>>;

// Of all nodes that are used. Reads every claim and every replica.
Result<NodeUses> uses_of_nodes(store::Store& store);

// Of one node, by its keys alone.
Result<NodeUse> use_of_node(store::Store& store, const model::Id& id, std::uint32_t gpu_count);

}  // namespace staithe::service
