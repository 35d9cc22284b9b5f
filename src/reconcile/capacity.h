#pragma once

#include <vector>

#include "model/catalogue.h"
#include "model/deployment.h"
#include "reconcile/claim_plan.h"
#include "reconcile/placement.h"
#include "reconcile/world.h"

namespace staithe::reconcile {

// The world as the planners want to see it. One thread, the World's.
class Capacity {
 public:
  Capacity(const World& world, const model::Catalogue& catalogue)
      : world_(world), catalogue_(catalogue) {}

  // The machines, and the waiting claims that come before `claim`.
  FleetView fleet_for(const model::CapacityClaim& claim) const;

  // What is free on every machine that may be used: of claims for their organization, the unclaimed
  // managed ones for everyone.
  Slots free_slots() const;

  // Where a deployment's replicas may run: its instance type, the zones its gateways have in
  // common, its capacity classes (none named: reserved first, then on demand), and whether its
  // engine spans nodes.
  PlacementRequest placement_of(const model::DeploymentSpec& spec) const;

  // What deployments still need that are served before `deployment`: those of a higher priority,
  // or of the same and older. Only what keeps them below their minimum counts, not a roll-out.
  std::vector<Demand> demands_before(const model::Deployment& deployment) const;

  // Whether one of a replica's nodes is no longer its home: its claim gave the node up, or a claim
  // took a node that was used on demand.
  bool must_leave_node(const model::Replica& replica) const;
  // Whether all nodes of a replica are there to start it on. One that lost a node is lost whole.
  bool has_its_nodes(const model::Replica& replica) const;

 private:
  const World& world_;
  const model::Catalogue& catalogue_;
};

}  // namespace staithe::reconcile
