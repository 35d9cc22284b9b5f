#include "service/claim_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "service/request_checks.h"
#include "service/rules.h"
#include "service/violations.h"

namespace staithe::service {
namespace {

void check_name(Violations& violations, const std::string& name) {
  constexpr std::size_t name_length_max = 100;
  if (check_text(violations, "name", name, name_length_max) && !rules::is_claim_name(name)) {
    violations.add("name",
                   "must be lower-case letters, digits or hyphens, with a letter or digit at both "
                   "ends");
  }
}

void check_capacity_type(Violations& violations, int type, const ServiceOptions& options) {
  const bool is_current = type == pb::CAPACITY_TYPE_MANAGED;
  const bool is_older = type == pb::CAPACITY_TYPE_SERVERLESS || type == pb::CAPACITY_TYPE_CUSTOMER;
  if (type == pb::CAPACITY_TYPE_UNSPECIFIED) {
    violations.add("resources.capacityType", "is required");
  } else if (options.strict_capacity_type && !is_current) {
    violations.add("resources.capacityType", "must be one of: CAPACITY_TYPE_MANAGED");
  } else if (!is_current && !is_older) {
    violations.add("resources.capacityType",
                   "must be one of: CAPACITY_TYPE_SERVERLESS, CAPACITY_TYPE_CUSTOMER, "
                   "CAPACITY_TYPE_MANAGED");
  }
}

// The instance type must be offered somewhere among the zones that exist; zones that do not exist
// have a violation of their own.
void check_instance_id(Violations& violations, const pb::CapacityClaimResources& resources,
                       const model::Catalogue& catalogue) {
  if (resources.instance_id().empty()) {
    violations.add("resources.instanceId", "is required");
    return;
  }
  bool is_any_zone_known = false;
  for (const std::string& zone : resources.zones()) {
    if (catalogue.offers(zone, resources.instance_id())) return;
    is_any_zone_known = is_any_zone_known || catalogue.has_zone(zone);
  }
  if (is_any_zone_known) {
    violations.add("resources.instanceId",
                   fmt::format("{} is not available in any of the requested zones",
                               rules::quoted(resources.instance_id())));
  }
}

template <typename Request>
void check_resources(Violations& violations, const Request& request,
                     const model::Catalogue& catalogue, const ServiceOptions& options) {
  if (!request.has_resources()) {
    violations.add("resources", "is required");
    return;
  }
  const pb::CapacityClaimResources& resources = request.resources();
  check_instance_id(violations, resources, catalogue);
  if (resources.instance_count() == 0) {
    violations.add("resources.instanceCount", "must be at least 1");
  }
  check_capacity_type(violations, resources.capacity_type(), options);
  if (resources.zones().empty()) {
    violations.add("resources.zones", "is required");
  } else if (options.claim_zones_max != 0 &&
             static_cast<std::uint32_t>(resources.zones_size()) > options.claim_zones_max) {
    violations.add("resources.zones",
                   fmt::format("must contain at most {} zone{}", options.claim_zones_max,
                               options.claim_zones_max == 1 ? "" : "s"));
  }
  check_zones(violations, "resources.zones", resources.zones(), catalogue);
}

}  // namespace

Result<void> validate(const pb::CreateCapacityClaimRequest& request,
                      const model::Catalogue& catalogue, const ServiceOptions& options) {
  Violations violations;
  check_optional_id(violations, "id", request.id());
  check_name(violations, request.name());
  check_resources(violations, request, catalogue, options);
  return std::move(violations).result();
}

Result<void> validate(const pb::UpdateCapacityClaimRequest& request,
                      const model::Catalogue& catalogue, const ServiceOptions& options) {
  Violations violations;
  check_id(violations, "id", request.id());
  check_resources(violations, request, catalogue, options);
  return std::move(violations).result();
}

}  // namespace staithe::service
