#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/deployment.h"
#include "model/node.h"

namespace staithe::reconcile {

// A machine as placement sees it: what is free on it and for whom.
struct NodeSlots {
  model::Id node_id;
  std::string zone;           // folded
  std::string instance_type;  // folded
  std::uint32_t gpu_count = 0;
  std::vector<std::uint32_t> free_slots;  // ascending
  model::Id claim_id;                     // empty: on demand, for everyone
  std::string organization;               // of the claim

  bool operator==(const NodeSlots&) const = default;
};
using Slots = std::vector<NodeSlots>;

// Where and in which way replicas of one deployment may run.
struct PlacementRequest {
  std::string organization;
  std::string instance_type;  // folded
  std::uint32_t gpu_count = 0;
  std::optional<std::set<std::string>> zones;  // folded; absent: every zone
  std::vector<model::CapacityClass> classes;   // in order of preference, never empty
  // Where no instance of the type has `gpu_count`: take whole free ones of one zone together.
  bool may_span = false;

  bool operator==(const PlacementRequest&) const = default;
};

// So many replicas that somebody waits for.
struct Demand {
  PlacementRequest request;
  std::uint32_t replica_count = 0;
};

struct Placement {
  std::string zone;
  std::vector<model::ReplicaPart> parts;  // never empty
  model::Id claim_id;                     // of the first part; empty: on demand

  bool operator==(const Placement&) const = default;
};

// A home for one replica, taken out of `slots`; nothing if there is none. The first class that has
// room decides; within it the fullest node that fits, so that big gaps stay whole, then the zone
// with the most room, then the node's id. Equal input, equal answer.
std::optional<Placement> place(Slots& slots, const PlacementRequest& request);

// Takes out of `slots` what the demand could use.
void take(Slots& slots, const Demand& demand);

// Gives a replica's slots back.
void give_back(Slots& slots, const model::Replica& replica);

// Why replicas cannot be placed.
struct Shortage {
  struct Zone {
    std::string zone;
    std::uint32_t free_gpu_count = 0;
    bool operator==(const Zone&) const = default;
  };
  std::string reason;       // of the condition Scheduled
  std::string message;      // the cause without numbers
  std::vector<Zone> zones;  // every zone with machines that would do, by name

  bool operator==(const Shortage&) const = default;
};
Shortage explain_shortage(const Slots& slots, const PlacementRequest& request);

}  // namespace staithe::reconcile
