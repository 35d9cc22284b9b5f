#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace staithe::service {

// Where clients reach a gateway. With a domain each gateway has a host name of its own,
// "<scheme>://<name>.<organization>.<domain>"; without one it is a path,
// "<base_url>/gateways/<id>".
struct EndpointTemplate {
  std::string base_url;         // as clients see this server, without a trailing slash
  std::string scheme = "http";  // of host names
  std::string domain;           // may end in ":<port>"
};

// How much one organization may hold; 0 is no limit.
//
// Use is counted before the commit and not in it, so callers that race can go over a quota by as
// many resources as there are of them. A quota guards against mistakes; the hardware is guarded by
// the store's unique keys.
struct Quota {
  std::uint32_t claims = 0;
  std::uint32_t claimed_instances = 0;
  std::uint32_t gateways = 0;
  std::uint32_t deployments = 0;
  std::uint32_t replicas = 0;  // the sum of autoscaling.max
};

struct Quotas {
  Quota standard;
  std::map<std::string, Quota, std::less<>> by_organization;  // instead of `standard`

  const Quota& of(std::string_view organization) const {
    const auto found = by_organization.find(organization);
    return found == by_organization.end() ? standard : found->second;
  }
};

struct ServiceOptions {
  EndpointTemplate endpoints;
  Quotas quotas;
  // compat.capacity_type.strict: refuse the capacity types that newer schemas have dropped.
  bool strict_capacity_type = false;
  // compat.default_runtime_version: a deployment without a version gets the newest plain x.y.z.
  bool default_runtime_version = false;
  // limits.claim_max_zones; 0 is no limit.
  std::uint32_t claim_zones_max = 0;
  // Whose administrators look after the nodes of the platform and see those of every organization.
  // Empty: administrators of every organization look after the platform's, and nobody sees another
  // organization's own.
  std::string operator_organization;
  // wandb.allow_custom_instance: accept a key and server of the caller's own W&B.
  bool allow_custom_wandb_instance = false;
};

}  // namespace staithe::service
