#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "model/catalogue.h"
#include "model/deployment.h"
#include "reconcile/allot.h"
#include "reconcile/claim_plan.h"
#include "reconcile/claim_queue.h"
#include "reconcile/placement.h"
#include "reconcile/world.h"

namespace staithe::reconcile {

// Who may have what of the world's machines.
//
// Nodes are shared out among the claims (ClaimQueue) and what is free on them among the deployments
// (allot()) in one sweep over all that wait; a pass then only looks up its own part. A sweep is
// made again only when something changed that it did not foresee: replicas and claims that come to
// be as they were meant to leave everybody else's part as it is. One thread, the World's.
class Capacity {
 public:
  Capacity(World& world, const model::Catalogue& catalogue)
      : world_(world), catalogue_(catalogue), overlay_(world.fleet()) {}

  // A claim, its machines, and the free ones it may take.
  ClaimView view_of(const model::CapacityClaim& claim);

  // The same for a claim that is not stored like this, as if it were.
  ClaimView preview_of(const model::CapacityClaim& claim);

  // How many replicas a deployment asks for. What is below its minimum or above its maximum counts
  // as those; the minimum if nothing was said.
  void set_wanted(const model::Id& deployment_id, std::uint32_t count);
  // Replicas that are not to be counted on: they have to leave their nodes, or lost them. Only
  // whoever sees the engines knows.
  void set_lost(const model::Id& deployment_id, std::set<model::Id> replica_ids);

  // Where a deployment's replicas may run: its instance type, the zones its gateways have in
  // common, its capacity classes (none named: reserved first, then on demand), whether its engine
  // spans nodes, where it has replicas already, and where others have its weights.
  PlacementRequest placement_of(const model::DeploymentSpec& spec) const;

  // Homes for `count` replicas that the deployment is to have: first what was allotted to it in
  // turn, then, for a roll-out, what nobody is waiting for. Where there are too few, `old_replicas`
  // are its own that it could give up. A deployment that is not in the world like this is treated
  // as if it were.
  Offer offer(const model::Deployment& deployment, std::uint32_t count,
              const std::vector<model::Id>& old_replicas);
  // What everybody gets.
  const Allotments& allotments();
  // Replicas of a deployment that have to leave for the minimum of one with a higher priority.
  std::set<model::Id> victims_of(const model::Id& deployment_id);

  // Claims and deployments whose part has changed since the last call.
  std::set<Key> take_touched();

  // Whether one of a replica's nodes is no longer its home: its claim gave the node up, a claim
  // took a node that was used on demand, or an administrator drains or removed it.
  bool must_leave_node(const model::Replica& replica) const;
  // Whether all nodes of a replica are there to start it on. One that lost a node is lost whole.
  bool has_its_nodes(const model::Replica& replica) const;

 private:
  void sync();
  void settle(const model::Id& replica_id);
  void update_node(const model::Id& id);
  void update_claim(const model::Id& id);
  bool update_deployment(const model::Id& id);
  Contender contender_of(const model::Deployment& deployment) const;
  ClaimView held_by(const model::CapacityClaim& claim) const;
  Offer offer_beyond(const Allotment& allotment, const PlacementRequest& asked, std::uint32_t count,
                     const std::vector<model::Id>& old_replicas);
  void note_changes(const Allotments& before, const Allotments& after);

  World& world_;
  const model::Catalogue& catalogue_;
  ClaimQueue claims_;
  Contention contention_;
  Overlay overlay_;  // what is allotted and not yet in the world
  Allotments allotments_;
  bool is_stale_ = false;
  std::map<model::Id, std::uint32_t> wanted_;
  std::map<model::Id, std::set<model::Id>> lost_;
  std::set<model::Id> said_;  // deployments about which something was said since the last sweep
  std::set<Key> touched_;
};

}  // namespace staithe::reconcile
