#pragma once

#include <compare>

#include "model/resource.h"
#include "store/store.h"

namespace staithe::reconcile {

// What a pass is about. An empty id stands for all of a kind: {node, ""} compares the machines with
// the records, {replica, ""} looks for engines that no record knows.
struct Key {
  store::Kind kind = store::Kind::claim;
  model::Id id;

  auto operator<=>(const Key&) const = default;
};

}  // namespace staithe::reconcile
