#include "model/catalogue.h"

#include <algorithm>

#include "base/encoding.h"
#include "model/capacity_claim.h"

namespace staithe::model {
namespace {

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::any_of(words.begin(), words.end(), [word](const std::string& candidate) {
    return equals_ignoring_case(candidate, word);
  });
}

}  // namespace

bool Catalogue::has_zone(std::string_view zone) const {
  return contains(zones, zone);
}

bool Catalogue::offers(std::string_view zone, std::string_view instance_type) const {
  return std::any_of(zone_instance_types.begin(), zone_instance_types.end(),
                     [zone, instance_type](const auto& entry) {
                       return equals_ignoring_case(entry.first, zone) &&
                              contains(entry.second, instance_type);
                     });
}

const InstanceType* Catalogue::find_instance_type(std::string_view instance_type) const {
  for (const InstanceType& candidate : instance_types) {
    if (equals_ignoring_case(candidate.id, instance_type)) return &candidate;
  }
  return nullptr;
}

std::vector<std::string> Catalogue::instance_types_in(
    const std::vector<std::string>& wanted_zones) const {
  std::vector<std::string> found;
  for (const auto& [zone, ids] : zone_instance_types) {
    if (!wanted_zones.empty() && !contains(wanted_zones, zone)) continue;
    for (const std::string& id : ids) {
      if (contains(found, id)) continue;
      const InstanceType* advertised = find_instance_type(id);
      found.push_back(advertised != nullptr ? advertised->id : id);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

void Catalogue::add(const Node& node) {
  const std::string zone = fold_zone(node.zone);
  const std::string type = fold_instance(node.instance_type);
  if (!contains(zones, zone)) zones.push_back(zone);
  auto& types = zone_instance_types[zone];
  if (!contains(types, type)) types.push_back(type);
  const auto known = std::find_if(
      instance_types.begin(), instance_types.end(),
      [&type](const InstanceType& each) { return equals_ignoring_case(each.id, type); });
  if (known == instance_types.end()) {
    instance_types.push_back({.id = type, .gpu_count = node.gpu_count});
  } else {
    known->gpu_count = std::min(known->gpu_count, node.gpu_count);
  }
}

}  // namespace staithe::model
