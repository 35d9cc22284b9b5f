#pragma once

#include <vector>

#include "model/deployment.h"
#include "reconcile/claim_plan.h"
#include "reconcile/placement.h"
#include "reconcile/world.h"

namespace staithe::reconcile {

// The world as the planners want to see it.

// The machines, and the waiting claims that come before `claim`.
FleetView fleet_for(const World& world, const model::CapacityClaim& claim);

// What is free on every machine that may be used: of claims for their organization, the unclaimed
// managed ones for everyone.
Slots free_slots(const World& world);

// Where a deployment's replicas may run: its instance type, the zones its gateways have in common,
// its capacity classes (none named: reserved first, then on demand).
PlacementRequest placement_of(const World& world, const model::DeploymentSpec& spec);

// What deployments still need that are served before `deployment`: those of a higher priority, or
// of the same and older. Only what keeps them below their minimum counts, not a roll-out.
std::vector<Demand> demands_before(const World& world, const model::Deployment& deployment);

// Whether a replica's node is no longer its home: its claim gave the node up, or a claim took a
// node that was used on demand.
bool must_leave_node(const World& world, const model::Replica& replica);

}  // namespace staithe::reconcile
