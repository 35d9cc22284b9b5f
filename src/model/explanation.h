#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/deployment.h"
#include "model/resource.h"

// What the control plane says of its decisions, for people and for programs: why a deployment
// stands where it stands, and what a change would do. Texts are whole sentences without secrets.
namespace staithe::model {

// How much of what is needed one zone has: GPUs for a deployment, instances for a claim.
struct ZoneShortage {
  std::string zone;
  std::uint32_t needed = 0;
  std::uint32_t free = 0;
  std::uint32_t missing = 0;
  std::string reason;  // what stands in the way there

  bool operator==(const ZoneShortage&) const = default;
};

enum class ReplicaPhase : std::uint8_t {
  unspecified = 0,
  recorded = 1,  // it has its place, its engine was not asked to start yet
  starting = 2,  // the engine runs, the model does not answer yet
  ready = 3,
  stopping = 4,
  exited = 5,  // gone without having been asked; starts again after its back-off
  failed = 6,  // could not be started
};

struct ExplainedReplica {
  Id id;
  bool is_current = true;  // runs today's runtime, resources and model; else a roll-out replaces it
  bool is_draining = false;  // gets no new requests and stops once the running ones are done
  std::vector<Id> nodes;     // the leader's first
  std::string zone;
  CapacityClass capacity_class = CapacityClass::unspecified;  // reserved or on demand
  Id claim_id;                                                // of a reserved one
  ReplicaPhase phase = ReplicaPhase::unspecified;
  Timestamp since;  // start of the phase
  std::uint32_t restarts = 0;
  std::string reason;  // why it is there, why it goes, or what keeps it from getting ready

  bool operator==(const ExplainedReplica&) const = default;
};

// A deployment that gets free capacity before the one that is explained.
struct ServedBefore {
  Id deployment_id;  // empty, as is the name, if it is another organization's
  std::string name;
  std::uint32_t priority = 0;
  std::uint32_t waiting_replicas = 0;

  bool operator==(const ServedBefore&) const = default;
};

enum class RollOut : std::uint8_t {
  none = 0,        // every replica runs the spec
  surge = 1,       // new replicas get ready beside the old ones
  one_by_one = 2,  // there is no room beside them: an old one makes place for each new one
};

// Why a deployment has the replicas it has.
struct Explanation {
  Id deployment_id;
  std::string summary;  // all of it in one sentence
  Status status = Status::unspecified;

  // The count: min <= wanted <= max; 0 when disabled or being deleted.
  std::uint32_t wanted = 0;
  std::uint32_t min = 0;
  std::uint32_t max = 0;
  std::string wanted_reason;     // the autoscaler's, one line
  std::optional<double> demand;  // requests at once; absent: the gateways do not say
  std::uint32_t target = 0;      // requests at once that a replica is for

  std::vector<ExplainedReplica> replicas;  // oldest first

  // What has no place.
  std::uint32_t unplaced = 0;   // replicas
  std::string unplaced_reason;  // empty: none is missing
  std::vector<ZoneShortage> shortages;
  std::vector<ServedBefore> served_before;  // in the order they are served

  RollOut roll_out = RollOut::none;
  std::uint32_t old_replicas = 0;  // that do not run today's spec
  std::string roll_out_reason;     // empty: no roll-out

  std::optional<Timestamp> next_look;  // absent: not before something changes

  bool operator==(const Explanation&) const = default;
};

enum class PlannedChange : std::uint8_t {
  unspecified = 0,
  create = 1,   // a new replica
  replace = 2,  // a new replica for the old one that `replaced_id` names
  keep = 3,     // goes on undisturbed
  drain = 4,    // finishes its requests and stops, and nothing takes its place
};

struct PlannedReplica {
  PlannedChange change = PlannedChange::unspecified;
  Id id;                  // of a replica that exists (keep, drain); else empty
  Id replaced_id;         // with `replace`
  std::vector<Id> nodes;  // where it would run, the leader's first; empty: it would wait
  std::string zone;
  CapacityClass capacity_class = CapacityClass::unspecified;
  Id claim_id;
  std::string reason;  // why this, and why there

  bool operator==(const PlannedReplica&) const = default;
};

// The nodes of one zone for a claim.
struct PlannedZone {
  std::string zone;
  std::vector<Id> kept;
  std::vector<Id> taken;
  std::vector<Id> released;

  bool operator==(const PlannedZone&) const = default;
};

// What creating or updating a resource would do if it were done now.
struct PlanPreview {
  std::string summary;             // all of it in one sentence
  bool is_without_effect = false;  // nothing would change
  bool restarts_replicas = false;  // running replicas would be replaced or stopped

  std::vector<PlannedReplica> replicas;  // of a deployment
  std::vector<PlannedZone> zones;        // of a claim, in its order

  // Replicas of a deployment or instances of a claim that would wait.
  std::uint32_t pending = 0;
  std::string pending_reason;  // empty: none would wait
  std::vector<ZoneShortage> shortages;

  bool operator==(const PlanPreview&) const = default;
};

}  // namespace staithe::model
