#include "reconcile/capacity.h"

#include <algorithm>
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

auto turn_of(const model::Deployment& deployment) {
  return std::tuple(~deployment.spec.autoscaling.priority, deployment.status.created_at,
                    std::string_view(deployment.spec.id));
}

}  // namespace

FleetView fleet_for(const World& world, const model::CapacityClaim& claim) {
  FleetView fleet;
  for (const auto& [id, node] : world.nodes()) {
    ClaimableNode claimable{.node = node.value, .holder = world.holder_of(id)};
    for (const model::Id& replica_id : world.replicas_on(id)) {
      const Timestamp created_at = world.find_replica(replica_id)->value.created_at;
      claimable.oldest_replica = claimable.replica_count == 0
                                     ? created_at
                                     : std::min(claimable.oldest_replica, created_at);
      claimable.replica_count += 1;
    }
    fleet.nodes.push_back(std::move(claimable));
  }
  for (const auto& [id, other] : world.claims()) {
    if (is_waiting(other.value) && is_older(other.value, claim)) {
      fleet.waiting_before.push_back(other.value);
    }
  }
  std::sort(fleet.waiting_before.begin(), fleet.waiting_before.end(), is_older);
  return fleet;
}

Slots free_slots(const World& world) {
  Slots slots;
  for (const auto& [id, node] : world.nodes()) {
    if (!node.value.schedulable) continue;
    NodeSlots entry{.node_id = id,
                    .zone = model::fold_zone(node.value.zone),
                    .instance_type = model::fold_instance(node.value.instance_type),
                    .gpu_count = node.value.gpu_count};
    if (const model::Id holder = world.holder_of(id); !holder.empty()) {
      const auto* claim = world.find_claim(holder);
      if (claim == nullptr || !may_use(claim->value, id)) continue;
      entry.claim_id = holder;
      entry.organization = claim->value.spec.organization_id;
    } else if (!node.value.owner_organization.empty()) {
      continue;
    }
    std::set<std::uint32_t> taken;
    for (const model::Id& replica_id : world.replicas_on(id)) {
      const model::Replica& replica = world.find_replica(replica_id)->value;
      taken.insert(replica.gpu_slots.begin(), replica.gpu_slots.end());
    }
    for (std::uint32_t slot = 0; slot < node.value.gpu_count; ++slot) {
      if (!taken.contains(slot)) entry.free_slots.push_back(slot);
    }
    slots.push_back(std::move(entry));
  }
  return slots;
}

PlacementRequest placement_of(const World& world, const model::DeploymentSpec& spec) {
  PlacementRequest request{.organization = spec.organization_id,
                           .instance_type = model::fold_instance(spec.resources.instance_type),
                           .gpu_count = spec.resources.gpu_count,
                           .zones = common_zones(world, spec.gateway_ids),
                           .classes = spec.autoscaling.capacity_classes};
  if (request.classes.empty()) {
    request.classes = {CapacityClass::reserved, CapacityClass::on_demand};
  }
  return request;
}

std::vector<Demand> demands_before(const World& world, const model::Deployment& deployment) {
  std::vector<std::pair<const model::Deployment*, std::uint32_t>> waiting;
  for (const auto& [id, other] : world.deployments()) {
    const model::Deployment& each = other.value;
    if (each.spec.disabled || each.status.status == Status::deleting ||
        each.status.status == Status::failed || turn_of(each) >= turn_of(deployment)) {
      continue;
    }
    std::uint32_t live_count = 0;
    for (const model::Id& replica_id : world.replicas_of(id)) {
      live_count += world.find_replica(replica_id)->value.draining ? 0 : 1;
    }
    if (live_count < each.spec.autoscaling.min) {
      waiting.emplace_back(&each, each.spec.autoscaling.min - live_count);
    }
  }
  std::sort(waiting.begin(), waiting.end(), [](const auto& left, const auto& right) {
    return turn_of(*left.first) < turn_of(*right.first);
  });
  std::vector<Demand> demands;
  for (const auto& [each, count] : waiting) {
    demands.push_back({placement_of(world, each->spec), count});
  }
  return demands;
}

bool must_leave_node(const World& world, const model::Replica& replica) {
  if (replica.claim_id.empty()) return !world.holder_of(replica.node_id).empty();
  const auto* claim = world.find_claim(replica.claim_id);
  if (claim == nullptr) return !world.is_unreadable(store::Kind::claim, replica.claim_id);
  const auto* node = world.find_node(replica.node_id);
  return must_leave(claim->value, replica.node_id, node == nullptr ? nullptr : &node->value);
}

}  // namespace staithe::reconcile
