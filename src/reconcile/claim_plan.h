#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/capacity_claim.h"
#include "model/node.h"
#include "reconcile/claim_queue.h"
#include "reconcile/report.h"

namespace staithe::reconcile {

// A machine that a claim holds.
struct HeldNode {
  model::Node node;
  std::uint32_t replica_count = 0;  // replicas that run on it or still have to go
  Timestamp oldest_replica;         // when the first of them was created
};

// All that decides about one claim.
struct ClaimView {
  model::CapacityClaim claim;
  std::vector<HeldNode> held;        // of its nodes, those that are known
  std::vector<model::Node> offered;  // free ones that it may take, the best first; see ClaimQueue
};

// What one pass over a capacity claim should change.
//
// A plan is a value: making one reads no clock and touches no driver, so every decision can be
// tested without a fleet.
struct ClaimPlan {
  // All nodes it holds afterwards: first the `allocated` ones that may be used, then those that are
  // lost or still have to be emptied before they are free again.
  std::vector<model::Id> nodes;
  std::uint32_t allocated = 0;
  std::uint32_t pending = 0;
  std::vector<model::Id> reserve;  // of `nodes`, those that are new
  std::vector<model::Id> release;  // held until now, free from now on
  bool is_gone = false;            // a deletion with nothing left to hold
  Facts facts;
  std::vector<model::Condition> conditions;  // Allocated, as a whole and per zone
};

// Brings the claim as near to its instance count as the fleet allows.
//
// Held nodes are kept before free ones are taken, so growing never disturbs what runs inside. One
// that shrinks gives up empty nodes first and then those whose replicas are the newest. A node with
// replicas on it is neither taken nor let go. A held node that is gone, not schedulable or being
// drained does not count and is replaced if there is another. Too few nodes is a status to report,
// not an error.
ClaimPlan plan_claim(const ClaimView& view);

// What the claim lacks and where it would take it from; `missing` is 0 if it waits for nothing.
WaitingClaim need_of(const ClaimView& view);

// True while new replicas may be put on a node of this claim.
bool may_use(const model::CapacityClaim& claim, const model::Id& node_id);
// True when replicas have to leave a node that was theirs by this claim; `node` is null when the
// machine is unknown. A machine that was merely lost is not left: it may come back with its engines
// running.
bool must_leave(const model::CapacityClaim& claim, const model::Id& node_id,
                const model::Node* node);

// Waits for nodes, as far as the claim's own record says.
bool is_waiting(const model::CapacityClaim& claim);

}  // namespace staithe::reconcile
