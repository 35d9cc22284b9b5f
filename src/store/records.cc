#include "store/records.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/encoding.h"
#include "model/codec.h"

namespace staithe::store {
namespace {

constexpr std::string_view claim_node_scope = "claim-node";
constexpr std::string_view gpu_slot_scope = "gpu-slot";

std::vector<UniqueKey> sorted(std::vector<UniqueKey> keys) {
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

Error unreadable(const Record& record, Error error) {
  error.message = fmt::format("{} {}: {}", kind_name(record.kind), record.id, error.message);
  return error;
}

// Resources keep spec and status in their two texts.
template <typename T>
using DecodeStatus = Result<void> (*)(std::string_view text, decltype(T::status)& status);

template <typename T>
Result<Versioned<T>> decode_resource(const Record& record,
                                     DecodeStatus<T> decode_status = model::decode) {
  Versioned<T> out{{}, record.version, record.keys, record.revision};
  Result<void> decoded = model::decode(record.spec, out.value.spec);
  if (decoded) decoded = decode_status(record.status, out.value.status);
  if (!decoded) return unreadable(record, std::move(decoded).error());
  return out;
}

// Nodes and replicas are one value in the text of the spec.
template <typename T>
Result<Versioned<T>> decode_value(const Record& record) {
  Versioned<T> out{{}, record.version, record.keys, record.revision};
  if (Result<void> decoded = model::decode(record.spec, out.value); !decoded) {
    return unreadable(record, std::move(decoded).error());
  }
  return out;
}

template <typename Decode>
auto get_decoded(Store& store, Kind kind, std::string_view id, Decode decode)
    -> Result<std::optional<typename decltype(decode(std::declval<Record>()))::value_type>> {
  TRY_ASSIGN(const std::optional<Record> record, store.get(kind, id));
  if (!record) return {std::nullopt};
  TRY_ASSIGN(auto decoded, decode(*record));
  return {std::move(decoded)};
}

template <typename Decode>
auto list_decoded(Store& store, Kind kind, std::string_view organization, Decode decode)
    -> Result<std::vector<typename decltype(decode(std::declval<Record>()))::value_type>> {
  TRY_ASSIGN(const std::vector<Record> records, store.list(kind, organization));
  std::vector<typename decltype(decode(std::declval<Record>()))::value_type> out;
  out.reserve(records.size());
  for (const Record& record : records) {
    TRY_ASSIGN(auto decoded, decode(record));
    out.push_back(std::move(decoded));
  }
  return out;
}

template <typename T>
Create create_resource(Kind kind, const T& resource) {
  return {.kind = kind,
          .id = resource.spec.id,
          .organization = resource.spec.organization_id,
          .spec = model::encode(resource.spec),
          .status = model::encode(resource.status),
          .created_at = resource.status.created_at,
          .keys = keys_of(resource)};
}

template <typename T>
Update update_resource(Kind kind, const T& resource, std::uint64_t version) {
  return {.kind = kind,
          .id = resource.spec.id,
          .version = version,
          .spec = model::encode(resource.spec),
          .status = model::encode(resource.status),
          .keys = keys_of(resource)};
}

}  // namespace

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::claim:
      return "capacity claim";
    case Kind::gateway:
      return "gateway";
    case Kind::deployment:
      return "deployment";
    case Kind::node:
      return "node";
    case Kind::replica:
      return "replica";
    case Kind::token:
      return "token";
    case Kind::limit:
      return "limit";
  }
  return "record";
}

UniqueKey name_key(Kind kind, std::string_view organization, std::string_view name) {
  return {fmt::format("name/{}/{}", kind_name(kind), organization), to_lower(name)};
}

UniqueKey dns_key(std::string_view host) {
  return {"dns", to_lower(host)};
}

UniqueKey claim_node_key(std::string_view node_id) {
  return {std::string(claim_node_scope), std::string(node_id)};
}

UniqueKey gpu_slot_key(std::string_view node_id, std::uint32_t slot) {
  return {std::string(gpu_slot_scope), fmt::format("{}/{}", node_id, slot)};
}

std::string_view node_of(const UniqueKey& key) {
  if (key.scope == claim_node_scope) return key.key;
  // Node ids are host names, which have no slash.
  if (key.scope == gpu_slot_scope) return std::string_view(key.key).substr(0, key.key.rfind('/'));
  return {};
}

std::vector<UniqueKey> keys_of(const model::CapacityClaim& claim) {
  std::vector<UniqueKey> keys{name_key(Kind::claim, claim.spec.organization_id, claim.spec.name)};
  for (const model::Id& node : claim.status.nodes) keys.push_back(claim_node_key(node));
  return sorted(std::move(keys));
}

std::vector<UniqueKey> keys_of(const model::Gateway& gateway) {
  std::vector<UniqueKey> keys{
      name_key(Kind::gateway, gateway.spec.organization_id, gateway.spec.name)};
  if (gateway.spec.endpoint_configuration) {
    for (const std::string& host : gateway.spec.endpoint_configuration->additional_dns) {
      keys.push_back(dns_key(host));
    }
  }
  return sorted(std::move(keys));
}

std::vector<UniqueKey> keys_of(const model::Deployment& deployment) {
  return {name_key(Kind::deployment, deployment.spec.organization_id, deployment.spec.name)};
}

std::vector<UniqueKey> keys_of(const model::Replica& replica) {
  std::vector<UniqueKey> keys;
  for (const model::ReplicaPart& part : replica.parts) {
    for (const std::uint32_t slot : part.gpu_slots) {
      keys.push_back(gpu_slot_key(part.node_id, slot));
    }
  }
  return sorted(std::move(keys));
}

Create create_step(const model::CapacityClaim& claim) {
  return create_resource(Kind::claim, claim);
}
Create create_step(const model::Gateway& gateway) {
  return create_resource(Kind::gateway, gateway);
}
Create create_step(const model::Deployment& deployment) {
  return create_resource(Kind::deployment, deployment);
}
Create create_step(const model::Replica& replica) {
  return {.kind = Kind::replica,
          .id = replica.id,
          .organization = replica.organization_id,
          .spec = model::encode(replica),
          .status = "",
          .created_at = replica.created_at,
          .keys = keys_of(replica)};
}
Create create_step(const model::Node& node, Timestamp created_at) {
  return {.kind = Kind::node,
          .id = node.id,
          .organization = "",
          .spec = model::encode(node),
          .status = "",
          .created_at = created_at,
          .keys = {}};
}

Create create_step(const model::Limit& limit, Timestamp created_at) {
  return {.kind = Kind::limit,
          .id = limit.id(),
          .organization = limit.organization_id,
          .spec = model::encode(limit),
          .status = "",
          .created_at = created_at,
          .keys = {}};
}

Update update_step(const model::CapacityClaim& claim, std::uint64_t version) {
  return update_resource(Kind::claim, claim, version);
}
Update update_step(const model::Gateway& gateway, std::uint64_t version) {
  return update_resource(Kind::gateway, gateway, version);
}
Update update_step(const model::Deployment& deployment, std::uint64_t version) {
  return update_resource(Kind::deployment, deployment, version);
}
Update update_step(const model::Replica& replica, std::uint64_t version) {
  return {.kind = Kind::replica,
          .id = replica.id,
          .version = version,
          .spec = model::encode(replica),
          .status = std::nullopt,
          .keys = keys_of(replica)};
}
Update update_step(const model::Node& node, std::uint64_t version) {
  return {.kind = Kind::node,
          .id = node.id,
          .version = version,
          .spec = model::encode(node),
          .status = std::nullopt,
          .keys = std::nullopt};
}

Update update_step(const model::Limit& limit, std::uint64_t version) {
  return {.kind = Kind::limit,
          .id = limit.id(),
          .version = version,
          .spec = model::encode(limit),
          .status = std::nullopt,
          .keys = std::nullopt};
}

Result<Versioned<model::CapacityClaim>> decode_claim(const Record& record) {
  return decode_resource<model::CapacityClaim>(record);
}
Result<Versioned<model::Gateway>> decode_gateway(const Record& record) {
  return decode_resource<model::Gateway>(record);
}
Result<Versioned<model::Deployment>> decode_deployment(const Record& record) {
  return decode_resource<model::Deployment>(record);
}
Result<Versioned<model::Deployment>> decode_deployment_headline(const Record& record) {
  return decode_resource<model::Deployment>(record, model::decode_without_conditions);
}
Result<Versioned<model::Node>> decode_node(const Record& record) {
  return decode_value<model::Node>(record);
}
Result<Versioned<model::Replica>> decode_replica(const Record& record) {
  return decode_value<model::Replica>(record);
}
Result<Versioned<model::Limit>> decode_limit(const Record& record) {
  return decode_value<model::Limit>(record);
}

Result<std::optional<Versioned<model::CapacityClaim>>> get_claim(Store& store,
                                                                 std::string_view id) {
  return get_decoded(store, Kind::claim, id, decode_claim);
}
Result<std::optional<Versioned<model::Gateway>>> get_gateway(Store& store, std::string_view id) {
  return get_decoded(store, Kind::gateway, id, decode_gateway);
}
Result<std::optional<Versioned<model::Deployment>>> get_deployment(Store& store,
                                                                   std::string_view id) {
  return get_decoded(store, Kind::deployment, id, decode_deployment);
}
Result<std::optional<Versioned<model::Node>>> get_node(Store& store, std::string_view id) {
  return get_decoded(store, Kind::node, id, decode_node);
}
Result<std::optional<Versioned<model::Replica>>> get_replica(Store& store, std::string_view id) {
  return get_decoded(store, Kind::replica, id, decode_replica);
}
Result<std::optional<Versioned<model::Limit>>> get_limit(Store& store, std::string_view id) {
  return get_decoded(store, Kind::limit, id, decode_limit);
}

Result<std::vector<Versioned<model::CapacityClaim>>> list_claims(Store& store,
                                                                 std::string_view organization) {
  return list_decoded(store, Kind::claim, organization, decode_claim);
}
Result<std::vector<Versioned<model::Gateway>>> list_gateways(Store& store,
                                                             std::string_view organization) {
  return list_decoded(store, Kind::gateway, organization, decode_gateway);
}
Result<std::vector<Versioned<model::Deployment>>> list_deployments(Store& store,
                                                                   std::string_view organization) {
  return list_decoded(store, Kind::deployment, organization, decode_deployment);
}
Result<std::vector<Versioned<model::Node>>> list_nodes(Store& store) {
  return list_decoded(store, Kind::node, {}, decode_node);
}
Result<std::vector<Versioned<model::Replica>>> list_replicas(Store& store,
                                                             std::string_view organization) {
  return list_decoded(store, Kind::replica, organization, decode_replica);
}
Result<std::vector<Versioned<model::Limit>>> list_limits(Store& store,
                                                         std::string_view organization) {
  return list_decoded(store, Kind::limit, organization, decode_limit);
}

}  // namespace staithe::store
