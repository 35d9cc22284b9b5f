#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "sim/data_plane.h"
#include "sim/machines.h"
#include "sim/stage.h"
#include "sim/witness.h"

namespace staithe::sim {

// Whether everything is as it should be once nothing goes wrong any more, found out in the most
// simple-minded way from the truth alone: it knows no planner and shares no code with one.
class Settled {
 public:
  struct Complaint {
    Invariant invariant;
    std::string what;
  };

  // `data_plane` is that of the process that runs now.
  Settled(const Stage& stage, const Machines& machines, const Witness& witness,
          const DataPlane& data_plane)
      : stage_(stage), machines_(machines), witness_(witness), data_plane_(data_plane) {}

  // The first thing that is not.
  std::optional<Complaint> complaint() const;
  // The same while so many of the driver's actions hang: they may hold up one replica each.
  std::optional<Complaint> complaint_with_hung(std::size_t actions) const;
  // Replicas whose engines fail for good and are tried again all the same.
  std::size_t restless_count() const;

 private:
  struct Tally;
  using Found = std::optional<Complaint>;

  Found look_at_nodes() const;
  Found look_at_gateway(const model::Gateway& gateway) const;
  Found look_at_claim(const model::CapacityClaim& claim) const;
  Found look_at_deployment(const model::Deployment& deployment) const;
  Found look_at_engines() const;

  bool is_in_use(const model::Id& node_id) const;
  bool is_claimed(const model::Id& node_id) const;
  bool has_stuck_replica(const model::Id& deployment_id) const;
  const Engine* engine_of(const model::Id& replica_id) const;
  bool could_have_node(const model::CapacityClaim& claim, const Machine& machine) const;
  std::uint32_t room_on(const Machine& machine, const model::Deployment& deployment) const;
  bool is_meant_for(const model::Deployment& deployment, const Machine& machine) const;

  const Stage& stage_;
  const Machines& machines_;
  const Witness& witness_;
  const DataPlane& data_plane_;
};

}  // namespace staithe::sim
