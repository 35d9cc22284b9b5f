#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "model/node.h"
#include "reconcile/fleet.h"
#include "reconcile/placement.h"

namespace staithe::reconcile {

// The order in which deployments are served: by priority, the highest first, then by age, then id.
struct Turn {
  std::uint32_t priority = 0;
  Timestamp created_at;
  model::Id id;

  bool operator==(const Turn&) const = default;
  std::strong_ordering operator<=>(const Turn& other) const {
    if (const auto order = other.priority <=> priority; order != 0) return order;
    if (const auto order = created_at <=> other.created_at; order != 0) return order;
    return id <=> other.id;
  }
};

// A deployment as one that competes for capacity.
struct Contender {
  Turn turn;
  PlacementRequest request;
  std::uint32_t missing_of_min = 0;     // replicas that it lacks of its minimum
  std::uint32_t missing_above_min = 0;  // that it lacks beyond that of what is asked for
  // Its replicas above its minimum, the newest first: what it may have to give up.
  std::vector<std::pair<model::Id, std::vector<model::ReplicaPart>>> spares;

  bool operator==(const Contender&) const = default;
};

// All who compete, arranged so that a sweep looks only at those it can serve.
class Contention {
 public:
  // True if that makes a difference.
  bool set(Contender contender);
  bool remove(const model::Id& id);
  const Contender* find(const model::Id& id) const;

  // Those with the same needs, whatever their turn, by what they lack of their minimum and beyond:
  // where one of them finds no room, none after it does.
  enum class Tier : std::uint8_t { minimum, above };
  struct Shape {
    std::string organization;
    std::string instance_type;
    std::uint32_t gpu_count = 0;
    std::optional<std::set<std::string>> zones;
    std::vector<model::CapacityClass> classes;
    bool may_span = false;
    auto operator<=>(const Shape&) const = default;
  };
  using Groups = std::map<Shape, std::set<Turn>>;
  const Groups& groups(Tier tier) const { return tier == Tier::minimum ? minimum_ : above_; }
  // Those with spares; the last in turn is the first to lose one.
  const std::set<Turn>& with_spares() const { return with_spares_; }

 private:
  void index(const Contender& contender);
  void unindex(const Contender& contender);

  std::map<model::Id, Contender> contenders_;
  Groups minimum_;
  Groups above_;
  std::set<Turn> with_spares_;
};

// What one deployment gets.
struct Allotment {
  std::vector<Placement> placements;  // to be used now
  std::vector<Placement> coming;      // its own as soon as those who use them now have left

  bool operator==(const Allotment&) const = default;
};

struct Allotments {
  std::map<model::Id, Allotment> by_deployment;  // of those that get something
  // Replicas that have to leave, and the deployment whose minimum needs their room.
  std::map<model::Id, model::Id> victims;

  bool operator==(const Allotments&) const = default;
};

// Shares out what is free: first everybody's minimum in turn, then in the same order what is asked
// for beyond. Whoever finds no room is promised what others are leaving. Where that is not enough
// for a minimum, replicas above the minimum of deployments with a lower priority have to leave, of
// the lowest priority first and the newest first, as many as are needed on one node, and none if
// that does not make room.
//
// What is allotted is taken in `overlay`. Equal fleet and contention, equal allotments. The cost
// grows with the replicas that are placed and the number of different needs, not with the number of
// those who wait.
Allotments allot(Overlay& overlay, const Contention& contention);

}  // namespace staithe::reconcile
