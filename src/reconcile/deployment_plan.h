#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/deployment.h"
#include "model/node.h"
#include "reconcile/placement.h"
#include "runtime/driver.h"

namespace staithe::reconcile {

// One replica: what the store means it to be and what the driver sees.
struct SeenReplica {
  model::Replica record;
  std::optional<runtime::ReplicaState> state;  // absent: the driver does not know it
  std::string zone;                            // of its node; empty if the node is unknown
  bool must_leave = false;                     // its node is no longer its home

  bool is_ready() const { return state && state->phase == runtime::ReplicaPhase::ready; }
  bool is_starting() const { return state && state->phase == runtime::ReplicaPhase::starting; }
};

// All that decides about one deployment.
struct DeploymentView {
  model::Deployment deployment;
  std::uint64_t spec_hash = 0;        // of the spec that is wanted now
  std::vector<SeenReplica> replicas;  // by id
  // How many are asked for, from the spec's minimum to its maximum; see autoscale.h.
  std::uint32_t wanted = 0;
  bool is_at_max = false;  // more would be, were it not for the maximum
  // To be given up for the minimum of deployments that are served first. None goes that this one
  // needs for its own.
  std::set<model::Id> evicted;
  Offer offer;                     // looked at only if replicas are missing
  bool is_adopting = false;        // we have only just started: "starting" may be serving
  bool has_weighted_peer = false;  // another one takes the traffic while our weight is zero
};

// What one pass over a deployment should change. A value; see ClaimPlan.
struct DeploymentPlan {
  std::vector<model::Replica> create;  // without a time of creation
  std::vector<model::Id> drain;        // stop giving them work; the rest follows from the record
  std::vector<model::Id> start;        // those whose engine is to be (re)started
  std::uint32_t unplaced = 0;          // replicas that are wanted and have no room
  std::optional<Shortage> shortage;    // why
};

// Brings a deployment towards `wanted` ready replicas of its present spec.
//
// Replicas of an earlier spec, or on a node that is no longer theirs, keep serving until enough new
// ones are ready. Where there is no room for both, they are replaced one by one, and only if that
// makes room at all; those that must leave their node leave even so. A failed deployment starts
// nothing new and keeps what serves. While a spec is rolled out there may be up to `wanted`
// replicas more than the maximum: never more of either spec than asked for.
DeploymentPlan plan_deployment(const DeploymentView& view);

// How many replicas have to be created. 0: the plan looks at no offer.
std::uint32_t count_missing(const DeploymentView& view);

// A number that changes exactly when running replicas have to be replaced: of runtime, resources
// and model. It is kept in the store, so the way it is computed never changes.
std::uint64_t hash_of(const model::DeploymentSpec& spec);
// "<deployment id>-<ordinal>-<start of the hash>".
model::Id replica_id(const model::Id& deployment_id, std::uint32_t ordinal,
                     std::uint64_t spec_hash);

}  // namespace staithe::reconcile
