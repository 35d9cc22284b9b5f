#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/resource.h"

namespace staithe::model {

// Where a claim's instances come from. `serverless` is the older spelling of `managed` and the same
// thing; it is kept apart because REST echoes the spelling the client wrote.
enum class CapacityType : std::uint8_t {
  unspecified = 0,
  serverless = 1,
  customer = 2,
  managed = 3
};

struct ClaimResources {
  std::string instance_id;  // as the client wrote it; compare with fold_instance()
  std::uint32_t instance_count = 0;
  CapacityType capacity_type = CapacityType::unspecified;
  std::vector<std::string> zones;  // as written, in order of preference; compare with fold_zone()

  bool operator==(const ClaimResources&) const = default;
};

struct ClaimSpec {
  Id id;
  std::string name;
  ClaimResources resources;
  std::string organization_id;

  bool operator==(const ClaimSpec&) const = default;
};

struct ClaimStatus : StatusBase {
  std::uint32_t allocated_instances = 0;
  std::uint32_t pending_instances = 0;
  std::vector<Id> nodes;  // the nodes it holds; not shown by the API

  bool operator==(const ClaimStatus&) const = default;
};

// A reservation of whole nodes.
struct CapacityClaim {
  ClaimSpec spec;
  ClaimStatus status;

  bool operator==(const CapacityClaim&) const = default;
};

// Zones and instance types compare without regard to letter case.
std::string fold_zone(std::string_view zone);          // upper case
std::string fold_instance(std::string_view instance);  // lower case

}  // namespace staithe::model
