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

FleetView Capacity::fleet_for(const model::CapacityClaim& claim) const {
  FleetView fleet;
  for (const auto& [id, node] : world_.nodes()) {
    ClaimableNode claimable{.node = node.value, .holder = world_.holder_of(id)};
    for (const model::Id& replica_id : world_.replicas_on(id)) {
      const Timestamp created_at = world_.find_replica(replica_id)->value.created_at;
      claimable.oldest_replica = claimable.replica_count == 0
                                     ? created_at
                                     : std::min(claimable.oldest_replica, created_at);
      claimable.replica_count += 1;
    }
    fleet.nodes.push_back(std::move(claimable));
  }
  for (const auto& [id, other] : world_.claims()) {
    if (is_waiting(other.value) && is_older(other.value, claim)) {
      fleet.waiting_before.push_back(other.value);
    }
  }
  std::sort(fleet.waiting_before.begin(), fleet.waiting_before.end(), is_older);
  return fleet;
}

Slots Capacity::free_slots() const {
  Slots slots;
  for (const auto& [id, node] : world_.nodes()) {
    if (!node.value.schedulable) continue;
    NodeSlots entry{.node_id = id,
                    .zone = model::fold_zone(node.value.zone),
                    .instance_type = model::fold_instance(node.value.instance_type),
                    .gpu_count = node.value.gpu_count};
    if (const model::Id holder = world_.holder_of(id); !holder.empty()) {
      const auto* claim = world_.find_claim(holder);
      if (claim == nullptr || !may_use(claim->value, id)) continue;
      entry.claim_id = holder;
      entry.organization = claim->value.spec.organization_id;
    } else if (!node.value.owner_organization.empty()) {
      continue;
    }
    std::set<std::uint32_t> taken;
    for (const model::Id& replica_id : world_.replicas_on(id)) {
      const model::Replica& replica = world_.find_replica(replica_id)->value;
      for (const model::ReplicaPart& part : replica.parts) {
        if (part.node_id == id) taken.insert(part.gpu_slots.begin(), part.gpu_slots.end());
      }
    }
    for (std::uint32_t slot = 0; slot < node.value.gpu_count; ++slot) {
      if (!taken.contains(slot)) entry.free_slots.push_back(slot);
    }
    slots.push_back(std::move(entry));
  }
  return slots;
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
  return request;
}

std::vector<Demand> Capacity::demands_before(const model::Deployment& deployment) const {
  std::vector<std::pair<const model::Deployment*, std::uint32_t>> waiting;
  for (const auto& [id, other] : world_.deployments()) {
    const model::Deployment& each = other.value;
    if (each.spec.disabled || each.status.status == Status::deleting ||
        each.status.status == Status::failed || turn_of(each) >= turn_of(deployment)) {
      continue;
    }
    std::uint32_t live_count = 0;
    for (const model::Id& replica_id : world_.replicas_of(id)) {
      live_count += world_.find_replica(replica_id)->value.draining ? 0 : 1;
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
    demands.push_back({placement_of(each->spec), count});
  }
  return demands;
}

bool Capacity::must_leave_node(const model::Replica& replica) const {
  const auto must_leave_part = [this, &replica](const model::ReplicaPart& part, bool is_leader) {
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
