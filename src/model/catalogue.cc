#include "model/catalogue.h"

#include <algorithm>

#include "base/encoding.h"

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

}  // namespace staithe::model
