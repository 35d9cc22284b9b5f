#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/capacity_claim.h"
#include "model/deployment.h"
#include "model/gateway.h"
#include "model/limit.h"
#include "model/node.h"
#include "store/store.h"

// The model's values in and out of the store, and the one place that names unique keys.
namespace staithe::store {

// A decoded record: what it says, the version to hand back in Update, Remove or Expect, and the
// unique keys it holds (sorted).
template <typename T>
struct Versioned {
  T value;
  std::uint64_t version = 0;
  std::vector<UniqueKey> keys;
  std::uint64_t revision = 0;  // of the whole store, at this record's last write
};

// "capacity claim", "gateway", ...: how the API's errors call it.
std::string_view kind_name(Kind kind);

// Names are unique per kind and organization, whatever their letter case.
UniqueKey name_key(Kind kind, std::string_view organization, std::string_view name);
// A host name leads to one gateway of the whole installation.
UniqueKey dns_key(std::string_view host);
// A node serves one claim.
UniqueKey claim_node_key(std::string_view node_id);
// A GPU slot serves one replica.
UniqueKey gpu_slot_key(std::string_view node_id, std::uint32_t slot);
// The node that one of the last two names; empty of other keys.
std::string_view node_of(const UniqueKey& key);

// All keys a value holds: the claim's name and nodes, the gateway's name and additional host names,
// the deployment's name, the replica's GPU slots.
std::vector<UniqueKey> keys_of(const model::CapacityClaim& claim);
std::vector<UniqueKey> keys_of(const model::Gateway& gateway);
std::vector<UniqueKey> keys_of(const model::Deployment& deployment);
std::vector<UniqueKey> keys_of(const model::Replica& replica);

// A Create step with the value's spec, status, organization, creation time and keys_of().
Create create_step(const model::CapacityClaim& claim);
Create create_step(const model::Gateway& gateway);
Create create_step(const model::Deployment& deployment);
Create create_step(const model::Replica& replica);
Create create_step(const model::Node& node, Timestamp created_at);
Create create_step(const model::Limit& limit, Timestamp created_at);

// An Update step that replaces spec, status and keys. Whoever writes one of them alone (a
// reconciler its status) fills in Update by hand.
Update update_step(const model::CapacityClaim& claim, std::uint64_t version);
Update update_step(const model::Gateway& gateway, std::uint64_t version);
Update update_step(const model::Deployment& deployment, std::uint64_t version);
Update update_step(const model::Replica& replica, std::uint64_t version);
Update update_step(const model::Node& node, std::uint64_t version);
Update update_step(const model::Limit& limit, std::uint64_t version);

// A record whose text does not parse is DATA_LOSS; the message names its kind and id.
Result<Versioned<model::CapacityClaim>> decode_claim(const Record& record);
Result<Versioned<model::Gateway>> decode_gateway(const Record& record);
Result<Versioned<model::Deployment>> decode_deployment(const Record& record);
// Without its status' conditions.
Result<Versioned<model::Deployment>> decode_deployment_headline(const Record& record);
Result<Versioned<model::Node>> decode_node(const Record& record);
Result<Versioned<model::Replica>> decode_replica(const Record& record);
Result<Versioned<model::Limit>> decode_limit(const Record& record);

Result<std::optional<Versioned<model::CapacityClaim>>> get_claim(Store& store, std::string_view id);
Result<std::optional<Versioned<model::Gateway>>> get_gateway(Store& store, std::string_view id);
Result<std::optional<Versioned<model::Deployment>>> get_deployment(Store& store,
                                                                   std::string_view id);
Result<std::optional<Versioned<model::Node>>> get_node(Store& store, std::string_view id);
Result<std::optional<Versioned<model::Replica>>> get_replica(Store& store, std::string_view id);
Result<std::optional<Versioned<model::Limit>>> get_limit(Store& store, std::string_view id);

// Ordered as Store::list; an empty organization means all.
Result<std::vector<Versioned<model::CapacityClaim>>> list_claims(
    Store& store, std::string_view organization = {});
Result<std::vector<Versioned<model::Gateway>>> list_gateways(Store& store,
                                                             std::string_view organization = {});
Result<std::vector<Versioned<model::Deployment>>> list_deployments(
    Store& store, std::string_view organization = {});
Result<std::vector<Versioned<model::Node>>> list_nodes(Store& store);
Result<std::vector<Versioned<model::Replica>>> list_replicas(Store& store,
                                                             std::string_view organization = {});
Result<std::vector<Versioned<model::Limit>>> list_limits(Store& store,
                                                         std::string_view organization = {});

}  // namespace staithe::store
