#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "service/caller.h"
#include "service/errors.h"
#include "service/request_checks.h"
#include "store/decoded_cache.h"
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

// The answer to a get if the resource is at hand, drawn by `answer`; nothing if the store must be
// asked.
template <typename Response, typename Resource, typename Answer>
std::optional<Result<Response>> answer_at_hand(store::DecodedCache<Resource>& cache,
                                               store::Store& store, const Caller& caller,
                                               const std::string& id_text, Answer answer) {
  const auto id = read_id(id_text);
  if (!id) return id.error();
  const auto found = cache.peek(store, *id);
  if (found == nullptr) return std::nullopt;
  if (!is_owned(found->value, caller)) return errors::not_found(cache.kind(), *id);
  return answer(found->value);
}

}  // namespace staithe::service
