#include "service/node_use.h"

#include <set>

#include "store/records.h"

namespace staithe::service {
namespace {

// A record that cannot be read uses its nodes all the same.
NodeUse::Replica replica_of(const store::Record& record) {
  auto decoded = store::decode_replica(record);
  return {.deployment_id = decoded ? decoded->value.deployment_id : model::Id{},
          .organization = record.organization};
}

void take_claim(const store::Record& claim, NodeUse& use) {
  use.claim_id = claim.id;
  use.claim_organization = claim.organization;
}

void take_slot(const store::Record& replica, NodeUse& use) {
  use.used_gpu_count += 1;
  if (!use.replicas.contains(replica.id)) use.replicas.emplace(replica.id, replica_of(replica));
}

}  // namespace

std::vector<model::Id> NodeUse::deployments_of(std::string_view organization) const {
  std::set<model::Id> ids;
  for (const auto& [id, replica] : replicas) {
    if (replica.organization == organization && !replica.deployment_id.empty()) {
      ids.insert(replica.deployment_id);
    }
  }
  return {ids.begin(), ids.end()};
}

Result<NodeUses> uses_of_nodes(store::Store& store) {
  NodeUses uses;
  TRY_ASSIGN(const std::vector<store::Record> claims, store.list(store::Kind::claim));
  for (const store::Record& claim : claims) {
    for (const store::UniqueKey& key : claim.keys) {
      const std::string_view node = store::node_of(key);
      if (!node.empty()) take_claim(claim, uses[std::string(node)]);
    }
  }
  TRY_ASSIGN(const std::vector<store::Record> replicas, store.list(store::Kind::replica));
  for (const store::Record& replica : replicas) {
    for (const store::UniqueKey& key : replica.keys) {
      const std::string_view node = store::node_of(key);
      if (!node.empty()) take_slot(replica, uses[std::string(node)]);
    }
  }
  return uses;
}

Result<NodeUse> use_of_node(store::Store& store, const model::Id& id, std::uint32_t gpu_count) {
  NodeUse use;
  TRY_ASSIGN(const auto claim, store.find(store::claim_node_key(id)));
  if (claim) take_claim(*claim, use);
  for (std::uint32_t slot = 0; slot < gpu_count; ++slot) {
    TRY_ASSIGN(const auto replica, store.find(store::gpu_slot_key(id, slot)));
    if (replica) take_slot(*replica, use);
  }
  return use;
}

}  // namespace staithe::service
