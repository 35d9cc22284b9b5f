#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/node.h"

namespace staithe::model {

// An engine as the API advertises and validates it. How to start one is runtime's business.
struct EngineOffer {
  std::vector<std::string> versions;  // newest first, never empty
  std::vector<std::string> allowed_keys;
  std::vector<std::string> allowed_env_names;
  std::uint32_t default_concurrency = 16;
  bool spans_nodes = false;
};

struct InstanceType {
  std::string id;  // as advertised; compare with fold_instance()
  std::uint32_t gpu_count = 0;
};

// What a server offers: zones, which instance types each zone has, and engines. An immutable value
// made from configuration (or the built-in one for --emulate) and shared by service and reconcile.
struct Catalogue {
  std::vector<std::string> zones;  // as advertised
  std::vector<InstanceType> instance_types;
  std::map<std::string, std::vector<std::string>> zone_instance_types;  // zone -> instance type ids
  std::map<std::string, EngineOffer> engines;                           // by name

  bool has_zone(std::string_view zone) const;  // any letter case
  // True when `zone` offers `instance_type`; any letter case of both.
  bool offers(std::string_view zone, std::string_view instance_type) const;
  const InstanceType* find_instance_type(std::string_view instance_type) const;
  // The instance types, as advertised and sorted, that are offered in at least one of
  // `wanted_zones` (all zones if empty).
  std::vector<std::string> instance_types_in(const std::vector<std::string>& wanted_zones) const;

  // Adds what a machine brings: its zone, its instance type, and that the zone offers it. Of
  // machines of one type that differ the smallest says how many GPUs may be asked for.
  void add(const Node& node);
};

}  // namespace staithe::model
