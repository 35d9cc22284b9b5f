#include "model/capacity_claim.h"

#include "base/encoding.h"

namespace staithe::model {

std::string fold_zone(std::string_view zone) {
  return to_upper(zone);
}

std::string fold_instance(std::string_view instance) {
  return to_lower(instance);
}

}  // namespace staithe::model
