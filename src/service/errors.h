#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/resource.h"
#include "store/store.h"

// Every refusal of the services, each reachable by a test. The reasons are part of the API.
namespace staithe::service::errors {

inline constexpr std::string_view reason_invalid_request = "INVALID_REQUEST";
inline constexpr std::string_view reason_not_found = "RESOURCE_NOT_FOUND";
inline constexpr std::string_view reason_id_taken = "ID_TAKEN";
inline constexpr std::string_view reason_name_taken = "NAME_TAKEN";
inline constexpr std::string_view reason_dns_name_taken = "DNS_NAME_TAKEN";
inline constexpr std::string_view reason_deleting = "DELETING";
inline constexpr std::string_view reason_gateway_in_use = "GATEWAY_IN_USE";
inline constexpr std::string_view reason_gateway_zones_in_use = "GATEWAY_ZONES_IN_USE";
inline constexpr std::string_view reason_quota_exceeded = "QUOTA_EXCEEDED";
inline constexpr std::string_view reason_concurrent_change = "CONCURRENT_CHANGE";
inline constexpr std::string_view reason_node_in_use = "NODE_IN_USE";
inline constexpr std::string_view reason_node_not_joined = "NODE_NOT_JOINED";
inline constexpr std::string_view reason_control_plane_unavailable = "CONTROL_PLANE_UNAVAILABLE";
inline constexpr std::string_view reason_operator_required = "OPERATOR_REQUIRED";

// `violations` is not empty; the first one's description becomes the message.
Error invalid(std::vector<FieldViolation> violations);

Error not_found(store::Kind kind, const model::Id& id);
Error id_taken(store::Kind kind, const model::Id& id);
// `holder` belongs to the caller's organization, as names are unique within one.
Error name_taken(store::Kind kind, std::string_view name, const model::Id& holder);
// The holder may be another organization's and stays unnamed.
Error dns_name_taken(std::string_view host);
// Of the resource to change, or of one it refers to.
Error deleting(store::Kind kind, const model::Id& id);
// `deployments` are those in the way; at most violations_max of them are listed.
Error gateway_in_use(const model::Id& gateway, const std::vector<model::Id>& deployments);
Error gateway_zones_in_use(const model::Id& gateway, const std::vector<model::Id>& deployments);
// `what` in the plural: "gateways".
Error quota_exceeded(std::string_view organization, std::string_view what, std::uint32_t limit);
Error concurrent_change();
// What uses a node, as one precondition for each of the caller's own claims and deployments;
// `others` counts what belongs to other organizations and stays unnamed.
struct NodeUsers {
  std::vector<model::Id> claims;
  std::vector<model::Id> deployments;
  std::uint32_t others = 0;
};
Error node_in_use(const model::Id& node, const NodeUsers& users);
// It is in the driver's list of machines and would be back at once.
Error node_not_joined(const model::Id& node);
// It starts, stops or cannot read the store.
Error control_plane_unavailable();
// For the administrators of one organization alone.
Error operator_required();

inline constexpr std::size_t violations_max = 100;

}  // namespace staithe::service::errors
