#pragma once

#include <string_view>

#include "base/result.h"
#include "model/resource.h"
#include "store/store.h"

// Ids, names and host names that somebody holds already. The store is the judge; the look before a
// create only puts ALREADY_EXISTS ahead of what else could be wrong, so that a client that repeats
// a create whose answer was lost learns that it worked.
namespace staithe::service {

struct Identity {
  store::Kind kind;
  model::Id id;
  std::string organization;
  std::string name;
};

// Refuses to create what would collide. Only an id that the caller chose can be taken.
Result<void> refuse_taken(store::Store& store, const Identity& wanted);

// A commit's error in the caller's terms.
Error translate_taken(Error error, const Identity& wanted);

}  // namespace staithe::service
