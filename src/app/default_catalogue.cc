#include "app/default_catalogue.h"

#include <utility>

namespace staithe::app {

std::vector<NodeGroup> emulated_nodes() {
  static constexpr const char* zones[] = {
      "US-EAST-01A",    "US-EAST-02A", "US-EAST-04A",  "US-EAST-06A",
      "US-EAST-08A",    "US-EAST-13A", "US-EAST-14A",  "US-CENTRAL-06A",
      "US-CENTRAL-07A", "US-WEST-01A", "US-WEST-04A",  "US-WEST-09B",
      "US-WEST-10A",    "RNO2A",       "EU-SOUTH-03B", "EU-SOUTH-04A"};
  static constexpr std::pair<const char*, std::uint32_t> instance_types[] = {
      {"gb200-4x", 4},
      {"gd-1xgh200", 1},
      {"gd-8xh100ib-i128", 8},
      {"h100-80gb-sxm5", 8},
      {"H100_80GB_SXM5", 8}};
  constexpr std::uint32_t nodes_per_zone_and_type = 16;

  std::vector<NodeGroup> groups;
  for (const char* zone : zones) {
    for (const auto& [instance_type, gpu_count] : instance_types) {
      groups.push_back({.zone = zone,
                        .instance_type = instance_type,
                        .gpu_count = gpu_count,
                        .count = nodes_per_zone_and_type,
                        .owner_organization = {}});
    }
  }
  return groups;
}

}  // namespace staithe::app
