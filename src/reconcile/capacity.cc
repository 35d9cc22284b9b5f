#include "reconcile/capacity.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>

namespace staithe::reconcile {
namespace {

using model::CapacityClass;
using model::Status;

std::optional<std::set<std::string>> common_zones(const World& world,
                                                  const std::vector<model::Id>& gateway_ids) {
  std::optional<std::set<std::string>> common;
  for (const model::Id& id : gateway_ids) {
    const auto* gateway = world.find_gateway(id);
    // A gateway without zones is in all of them.
    if (gateway == nullptr || gateway->value.spec.zones.empty()) continue;
    std::set<std::string> zones;
    for (const std::string& zone : gateway->value.spec.zones) {
      std::string folded = model::fold_zone(zone);
      if (!common || common->contains(folded)) zones.insert(std::move(folded));
    }
    common = std::move(zones);
  }
  return common;
}

// Of its leader's node; empty if that is not known.
std::string zone_of(const World& world, const model::Replica& replica) {
  const auto* node = world.find_node(replica.parts.front().node_id);
  return node == nullptr ? std::string{} : model::fold_zone(node->value.zone);
}

// Whether a deployment competes for capacity at all.
bool is_competing(const model::Deployment& deployment) {
  return !deployment.spec.disabled && deployment.status.status != Status::deleting &&
         deployment.status.status != Status::failed;
}

std::vector<model::Node> nodes_of(const World& world, const std::vector<model::Id>& ids) {
  std::vector<model::Node> nodes;
  for (const model::Id& id : ids) nodes.push_back(world.find_node(id)->value);
  return nodes;
}

}  // namespace

void Capacity::sync() {
  const World::News news = world_.take_news();
  for (const model::Id& id : news.created_replicas) settle(id);
  std::set<model::Id> claims = news.claims;
  for (const model::Id& id : news.nodes) {
    update_node(id);
    // What a claim lacks depends on whether its machines are there.
    if (const model::Id holder = world_.holder_of(id); !holder.empty()) claims.insert(holder);
  }
  for (const model::Id& id : claims) update_claim(id);
  for (const model::Id& id : news.deployments) is_stale_ |= update_deployment(id);
  for (const model::Id& id : std::exchange(said_, {})) is_stale_ |= update_deployment(id);
  is_stale_ |= news.is_fleet_changed;
}

// A replica that came to be where it was allotted changes nothing for the others.
void Capacity::settle(const model::Id& replica_id) {
  const auto* replica = world_.find_replica(replica_id);
  if (replica == nullptr || is_stale_) {
    is_stale_ = true;
    return;
  }
  const model::Id& deployment_id = replica->value.deployment_id;
  const auto allotment = allotments_.by_deployment.find(deployment_id);
  const Contender* contender = contention_.find(deployment_id);
  is_stale_ = true;
  if (allotment == allotments_.by_deployment.end() || contender == nullptr) return;
  std::vector<Placement>& placements = allotment->second.placements;
  const auto placement = std::find_if(placements.begin(), placements.end(), [&](const auto& each) {
    return each.parts == replica->value.parts;
  });
  if (placement == placements.end()) return;

  Contender after = *contender;
  after.request.replicas_in[placement->zone] += 1;
  (after.missing_of_min > 0 ? after.missing_of_min : after.missing_above_min) -= 1;
  contention_.set(std::move(after));
  overlay_.settle(placement->parts);
  placements.erase(placement);
  if (placements.empty() && allotment->second.coming.empty()) {
    allotments_.by_deployment.erase(allotment);
  }
  is_stale_ = false;
}

void Capacity::update_node(const model::Id& id) {
  const auto* node = world_.find_node(id);
  const model::Id holder = world_.holder_of(id);
  if (node != nullptr && world_.is_available(node->value) && holder.empty() &&
      world_.replicas_on(id).empty()) {
    claims_.set_free(node->value);
  } else {
    claims_.set_taken(id, holder);
  }
}

void Capacity::update_claim(const model::Id& id) {
  if (const auto* claim = world_.find_claim(id); claim != nullptr) {
    claims_.set_waiting(need_of(held_by(claim->value)));
  } else {
    claims_.remove_waiting(id);
  }
}

bool Capacity::update_deployment(const model::Id& id) {
  const auto* deployment = world_.find_deployment(id);
  if (deployment == nullptr) {
    wanted_.erase(id);
    lost_.erase(id);
  }
  if (deployment == nullptr || !is_competing(deployment->value)) return contention_.remove(id);
  return contention_.set(contender_of(deployment->value));
}

Contender Capacity::contender_of(const model::Deployment& deployment) const {
  const model::DeploymentAutoscaling& scaling = deployment.spec.autoscaling;
  Contender contender{.turn = {scaling.priority, deployment.status.created_at, deployment.spec.id},
                      .request = placement_of(deployment.spec),
                      .missing_of_min = 0,
                      .missing_above_min = 0,
                      .spares = {}};
  const auto lost = lost_.find(deployment.spec.id);
  std::vector<const model::Replica*> live;
  for (const model::Id& id : world_.replicas_of(deployment.spec.id)) {
    const model::Replica& replica = world_.find_replica(id)->value;
    const bool is_lost = lost != lost_.end() && lost->second.contains(id);
    if (!replica.draining && !is_lost && !must_leave_node(replica)) live.push_back(&replica);
  }
  const auto live_count = static_cast<std::uint32_t>(live.size());
  std::uint32_t wanted = scaling.min;
  if (const auto said = wanted_.find(deployment.spec.id); said != wanted_.end()) {
    wanted = std::clamp(said->second, scaling.min, std::max(scaling.min, scaling.max));
  }
  contender.missing_of_min = scaling.min - std::min(scaling.min, live_count);
  const std::uint32_t floor = std::max(scaling.min, live_count);
  contender.missing_above_min = wanted - std::min(wanted, floor);
  if (live_count > scaling.min) {
    std::sort(live.begin(), live.end(), [](const auto* left, const auto* right) {
      return std::tie(right->created_at, right->id) < std::tie(left->created_at, left->id);
    });
    live.resize(live_count - scaling.min);
    for (const model::Replica* replica : live) {
      contender.spares.emplace_back(replica->id, replica->parts);
    }
  }
  return contender;
}

ClaimView Capacity::held_by(const model::CapacityClaim& claim) const {
  ClaimView view{.claim = claim, .held = {}, .offered = {}};
  for (const model::Id& id : claim.status.nodes) {
    const auto* node = world_.find_node(id);
    if (node == nullptr) continue;
    HeldNode held{.node = node->value, .replica_count = 0, .oldest_replica = {}};
    for (const model::Id& replica_id : world_.replicas_on(id)) {
      const Timestamp created_at = world_.find_replica(replica_id)->value.created_at;
      held.oldest_replica =
          held.replica_count == 0 ? created_at : std::min(held.oldest_replica, created_at);
      held.replica_count += 1;
    }
    view.held.push_back(std::move(held));
  }
  return view;
}

ClaimView Capacity::view_of(const model::CapacityClaim& claim) {
  sync();
  ClaimView view = held_by(claim);
  view.offered = nodes_of(world_, claims_.share_of(claim.spec.id));
  return view;
}

ClaimView Capacity::preview_of(const model::CapacityClaim& claim) {
  sync();
  ClaimView view = held_by(claim);
  claims_.set_waiting(need_of(view));
  view.offered = nodes_of(world_, claims_.share_of(claim.spec.id));
  update_claim(claim.spec.id);
  return view;
}

void Capacity::set_wanted(const model::Id& deployment_id, std::uint32_t count) {
  const auto [known, is_new] = wanted_.try_emplace(deployment_id, count);
  if (!is_new && known->second == count) return;
  known->second = count;
  said_.insert(deployment_id);
}

void Capacity::set_lost(const model::Id& deployment_id, std::set<model::Id> replica_ids) {
  const auto known = lost_.find(deployment_id);
  if (known == lost_.end() ? replica_ids.empty() : known->second == replica_ids) return;
  if (replica_ids.empty()) {
    lost_.erase(known);
  } else {
    lost_[deployment_id] = std::move(replica_ids);
  }
  said_.insert(deployment_id);
}

const Allotments& Capacity::allotments() {
  sync();
  if (!is_stale_) return allotments_;
  overlay_.undo();
  const Allotments before = std::exchange(allotments_, allot(overlay_, contention_));
  note_changes(before, allotments_);
  note_changes(allotments_, before);
  is_stale_ = false;
  return allotments_;
}

void Capacity::note_changes(const Allotments& before, const Allotments& after) {
  for (const auto& [id, allotment] : before.by_deployment) {
    const auto other = after.by_deployment.find(id);
    if (other == after.by_deployment.end() || other->second != allotment) {
      touched_.insert({store::Kind::deployment, id});
    }
  }
  for (const auto& [replica_id, cause] : before.victims) {
    if (after.victims.contains(replica_id)) continue;
    const auto* replica = world_.find_replica(replica_id);
    if (replica == nullptr) continue;
    touched_.insert({store::Kind::deployment, replica->value.deployment_id});
  }
}

std::set<Key> Capacity::take_touched() {
  allotments();
  for (const model::Id& id : claims_.take_touched()) touched_.insert({store::Kind::claim, id});
  return std::exchange(touched_, {});
}

std::set<model::Id> Capacity::victims_of(const model::Id& deployment_id) {
  std::set<model::Id> victims;
  const Allotments& current = allotments();
  if (current.victims.empty()) return victims;
  for (const model::Id& id : world_.replicas_of(deployment_id)) {
    if (current.victims.contains(id)) victims.insert(id);
  }
  return victims;
}

Offer Capacity::offer(const model::Deployment& deployment, std::uint32_t count,
                      const std::vector<model::Id>& old_replicas) {
  const model::Id& id = deployment.spec.id;
  const auto offer_of = [&](const Allotments& all, const PlacementRequest& request) {
    const auto mine = all.by_deployment.find(id);
    return offer_beyond(mine == all.by_deployment.end() ? Allotment{} : mine->second, request,
                        count, old_replicas);
  };
  const Allotments& current = allotments();
  Contender contender = contender_of(deployment);
  const Contender* known = contention_.find(id);
  if (known != nullptr && *known == contender) return offer_of(current, contender.request);

  // Not as it stands in the world: a sweep on trial, as if it did.
  std::optional<Contender> before;
  if (known != nullptr) before = *known;
  const PlacementRequest request = contender.request;
  overlay_.undo();
  contention_.set(std::move(contender));
  Offer offer = offer_of(allot(overlay_, contention_), request);
  if (before) {
    contention_.set(std::move(*before));
  } else {
    contention_.remove(id);
  }
  is_stale_ = true;
  return offer;
}

Offer Capacity::offer_beyond(const Allotment& allotment, const PlacementRequest& asked,
                             std::uint32_t count, const std::vector<model::Id>& old_replicas) {
  Offer offer;
  PlacementRequest request = asked;
  for (const Placement& each : allotment.placements) {
    request.replicas_in[each.zone] += 1;
    if (offer.placements.size() < count) offer.placements.push_back(each);
  }
  for (const Placement& each : allotment.coming) request.replicas_in[each.zone] += 1;
  Overlay trial(world_.fleet());
  while (offer.placements.size() < count) {
    std::optional<Placement> placement = trial.place(request);
    if (!placement) break;
    request.replicas_in[placement->zone] += 1;
    offer.placements.push_back(std::move(*placement));
  }
  if (offer.placements.size() == count) return offer;
  offer.shortage = world_.fleet().explain(request);
  for (const model::Id& id : old_replicas) {
    const model::Replica& replica = world_.find_replica(id)->value;
    const auto there = request.replicas_in.find(zone_of(world_, replica));
    if (there != request.replicas_in.end() && there->second > 0) there->second -= 1;
    trial.begin_leaving(replica.parts);
  }
  offer.without_old = world_.fleet().find(request, Horizon::soon);
  return offer;
}

PlacementRequest Capacity::placement_of(const model::DeploymentSpec& spec) const {
  PlacementRequest request{.organization = spec.organization_id,
                           .instance_type = model::fold_instance(spec.resources.instance_type),
                           .gpu_count = spec.resources.gpu_count,
                           .zones = common_zones(world_, spec.gateway_ids),
                           .classes = spec.autoscaling.capacity_classes};
  const auto engine = catalogue_.engines.find(spec.runtime.engine);
  request.may_span = engine != catalogue_.engines.end() && engine->second.spans_nodes;
  if (request.classes.empty()) {
    request.classes = {CapacityClass::reserved, CapacityClass::on_demand};
  }
  request.preferred_zones = world_.zones_with_weights(spec);
  for (const model::Id& id : world_.replicas_of(spec.id)) {
    const model::Replica& replica = world_.find_replica(id)->value;
    if (!replica.draining) request.replicas_in[zone_of(world_, replica)] += 1;
  }
  return request;
}

bool Capacity::must_leave_node(const model::Replica& replica) const {
  const auto must_leave_part = [this, &replica](const model::ReplicaPart& part, bool is_leader) {
    if (world_.is_given_up(part.node_id)) return true;
    const model::Id holder = world_.holder_of(part.node_id);
    if (replica.claim_id.empty()) return !holder.empty();
    // The other nodes of one that spans several may be another claim's of the same organization.
    const model::Id& claim_id = is_leader ? replica.claim_id : holder;
    const auto* claim = world_.find_claim(claim_id);
    if (claim == nullptr) {
      return is_leader ? !world_.is_unreadable(store::Kind::claim, claim_id)
                       : !world_.is_any_unreadable(store::Kind::claim);
    }
    if (claim->value.spec.organization_id != replica.organization_id) return true;
    const auto* node = world_.find_node(part.node_id);
    return must_leave(claim->value, part.node_id, node == nullptr ? nullptr : &node->value);
  };
  const model::ReplicaPart& leader = replica.parts.front();
  return std::any_of(replica.parts.begin(), replica.parts.end(),
                     [&](const auto& part) { return must_leave_part(part, &part == &leader); });
}

bool Capacity::has_its_nodes(const model::Replica& replica) const {
  return std::all_of(replica.parts.begin(), replica.parts.end(), [this](const auto& part) {
    const auto* node = world_.find_node(part.node_id);
    return node != nullptr && node->value.schedulable;
  });
}

}  // namespace staithe::reconcile
