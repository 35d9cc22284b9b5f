#include "service/node_rules.h"

#include <fmt/format.h>

#include "auth/token_record.h"
#include "base/encoding.h"
#include "model/capacity_claim.h"
#include "service/request_checks.h"
#include "service/rules.h"
#include "service/violations.h"

namespace staithe::service {
namespace {

constexpr std::uint32_t gpu_count_max = 1024;

void check_zone(Violations& violations, const std::string& zone) {
  if (zone.empty()) {
    violations.add("zone", "is required");
  } else if (!rules::is_zone(model::fold_zone(zone))) {
    violations.add("zone", "must be a valid zone, such as US-LOCAL-01A");
  }
}

void check_instance_type(Violations& violations, const std::string& type) {
  if (type.empty()) {
    violations.add("instanceType", "is required");
  } else if (!rules::is_instance_type(type)) {
    violations.add(
        "instanceType",
        "must be 1 to 63 letters, digits, hyphens, underscores or dots, with a letter or "
        "digit at both ends");
  }
}

// A deployment that asks for a type may count on its number of GPUs.
void check_gpu_count(Violations& violations, const staithe::v1::JoinNodeRequest& request,
                     const model::Catalogue& catalogue) {
  const std::uint32_t count = request.gpu_count();
  if (count < 1 || count > gpu_count_max) {
    violations.add("gpuCount", fmt::format("must be between 1 and {}", gpu_count_max));
    return;
  }
  const model::InstanceType* known = catalogue.find_instance_type(request.instance_type());
  if (known != nullptr && known->gpu_count != count) {
    violations.add("gpuCount",
                   fmt::format("must be {}, as on every {}", known->gpu_count, known->id));
  }
}

}  // namespace

Result<void> validate(const staithe::v1::JoinNodeRequest& request,
                      const model::Catalogue& catalogue) {
  Violations violations;
  check_host_label(violations, "id", request.id());
  check_zone(violations, request.zone());
  check_instance_type(violations, request.instance_type());
  check_gpu_count(violations, request, catalogue);
  if (!request.organization_id().empty() && !auth::is_organization_id(request.organization_id())) {
    violations.add("organizationId", "must be six characters: cw and 4 hexadecimal digits");
  }
  return std::move(violations).result();
}

Result<model::Id> read_node_id(const std::string& id) {
  constexpr std::size_t host_name_length_max = 253;  // RFC 1123 section 2.1
  Violations violations;
  if (check_text(violations, "id", id, host_name_length_max) &&
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") !=
          std::string::npos) {
    violations.add("id", "must be the name of a host");
  }
  TRY(std::move(violations).result());
  return to_lower(id);
}

}  // namespace staithe::service
