#pragma once

#include <optional>
#include <utility>

#include "base/result.h"
#include "service/caller.h"
#include "service/errors.h"
#include "store/records.h"

namespace staithe::service {

template <typename Resource>
bool is_owned(const Resource& resource, const Caller& caller) {
  return resource.spec.organization_id == caller.principal.organization;
}

// The resource that was looked up, if it belongs to the caller's organization; that it belongs to
// another one must not show.
template <typename Resource>
Result<store::Versioned<Resource>> owned(Result<std::optional<store::Versioned<Resource>>> found,
                                         const Caller& caller, store::Kind kind,
                                         const model::Id& id) {
  TRY_ASSIGN(auto present, std::move(found));
  if (!present || !is_owned(present->value, caller)) {
    return errors::not_found(kind, id);
  }
  return *std::move(present);
}

}  // namespace staithe::service
