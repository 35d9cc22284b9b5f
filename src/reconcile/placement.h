#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/deployment.h"
#include "model/node.h"

namespace staithe::reconcile {

// Where and in which way replicas of one deployment may run.
struct PlacementRequest {
  std::string organization;
  std::string instance_type;  // folded
  std::uint32_t gpu_count = 0;
  std::optional<std::set<std::string>> zones;  // folded; absent: every zone
  std::vector<model::CapacityClass> classes;   // in order of preference, never empty
  // Where no instance of the type has `gpu_count`: take whole free ones of one zone together.
  bool may_span = false;
  // What decides between zones; see Fleet.
  std::set<std::string> preferred_zones;
  std::map<std::string, std::uint32_t> replicas_in;  // of the same deployment

  bool operator==(const PlacementRequest&) const = default;
};

// A home for one replica.
struct Placement {
  std::string zone;
  std::vector<model::ReplicaPart> parts;  // never empty
  model::Id claim_id;                     // of the first part; empty: on demand

  bool operator==(const Placement&) const = default;
};

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

// What a deployment that lacks replicas may do about it.
struct Offer {
  std::vector<Placement>
      placements;  // one for each that is missing, or for as many as there is room
  std::optional<Shortage> shortage;  // why there is none for the others
  // Where one would go if the deployment's old replicas left, where there is no room otherwise.
  std::optional<Placement> without_old;
};

}  // namespace staithe::reconcile
