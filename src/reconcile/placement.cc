#include "reconcile/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace staithe::reconcile {
namespace {

using model::CapacityClass;

bool is_in_class(const NodeSlots& node, const PlacementRequest& request, CapacityClass capacity) {
  if (capacity == CapacityClass::reserved) {
    return !node.claim_id.empty() && node.organization == request.organization;
  }
  return capacity == CapacityClass::on_demand && node.claim_id.empty();
}

bool is_in_any_class(const NodeSlots& node, const PlacementRequest& request) {
  return std::any_of(request.classes.begin(), request.classes.end(),
                     [&](CapacityClass capacity) { return is_in_class(node, request, capacity); });
}

bool is_suitable(const NodeSlots& node, const PlacementRequest& request) {
  return node.instance_type == request.instance_type &&
         (!request.zones || request.zones->contains(node.zone));
}

// Whole free nodes of one zone that together have the GPUs: of the zone with the most room.
std::optional<Placement> place_across(Slots& slots, const PlacementRequest& request,
                                      CapacityClass capacity) {
  std::map<std::string, std::vector<NodeSlots*>> free_in;
  for (NodeSlots& node : slots) {
    if (!is_suitable(node, request)) continue;
    if (node.gpu_count >= request.gpu_count) return std::nullopt;
    if (!is_in_class(node, request, capacity) || node.gpu_count == 0) continue;
    if (node.free_slots.size() == node.gpu_count) free_in[node.zone].push_back(&node);
  }
  const auto most = std::max_element(
      free_in.begin(), free_in.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (most == free_in.end()) return std::nullopt;
  std::vector<NodeSlots*>& nodes = most->second;
  std::sort(nodes.begin(), nodes.end(),
            [](const auto* a, const auto* b) { return a->node_id < b->node_id; });
  std::uint32_t gpu_count = 0;
  std::size_t node_count = 0;
  while (gpu_count < request.gpu_count && node_count < nodes.size()) {
    gpu_count += nodes[node_count++]->gpu_count;
  }
  if (gpu_count < request.gpu_count) return std::nullopt;
  nodes.resize(node_count);
  Placement placement{.zone = most->first, .parts = {}, .claim_id = nodes.front()->claim_id};
  for (NodeSlots* node : nodes) {
    placement.parts.push_back({node->node_id, std::move(node->free_slots)});
    node->free_slots.clear();
  }
  return placement;
}

}  // namespace

std::optional<Placement> place(Slots& slots, const PlacementRequest& request) {
  for (const CapacityClass capacity : request.classes) {
    std::map<std::string, std::size_t> room_in;
    for (const NodeSlots& node : slots) {
      if (is_suitable(node, request) && is_in_class(node, request, capacity)) {
        room_in[node.zone] += node.free_slots.size();
      }
    }
    NodeSlots* best = nullptr;
    const auto key = [&room_in](const NodeSlots& node) {
      return std::tuple(node.free_slots.size(), ~room_in.at(node.zone), std::string_view(node.zone),
                        std::string_view(node.node_id));
    };
    for (NodeSlots& node : slots) {
      if (!is_suitable(node, request) || !is_in_class(node, request, capacity)) continue;
      if (node.free_slots.size() < request.gpu_count || request.gpu_count == 0) continue;
      if (best == nullptr || key(node) < key(*best)) best = &node;
    }
    if (best == nullptr) {
      if (!request.may_span) continue;
      if (auto placement = place_across(slots, request, capacity)) return placement;
      continue;
    }
    const auto end = best->free_slots.begin() + static_cast<std::ptrdiff_t>(request.gpu_count);
    Placement placement{.zone = best->zone,
                        .parts = {{best->node_id, {best->free_slots.begin(), end}}},
                        .claim_id = best->claim_id};
    best->free_slots.erase(best->free_slots.begin(), end);
    return placement;
  }
  return std::nullopt;
}

void take(Slots& slots, const Demand& demand) {
  for (std::uint32_t i = 0; i < demand.replica_count; ++i) {
    if (!place(slots, demand.request)) return;
  }
}

void give_back(Slots& slots, const model::Replica& replica) {
  for (const model::ReplicaPart& part : replica.parts) {
    for (NodeSlots& node : slots) {
      if (node.node_id != part.node_id) continue;
      for (const std::uint32_t slot : part.gpu_slots) {
        const auto at = std::lower_bound(node.free_slots.begin(), node.free_slots.end(), slot);
        if (at == node.free_slots.end() || *at != slot) node.free_slots.insert(at, slot);
      }
    }
  }
}

Shortage explain_shortage(const Slots& slots, const PlacementRequest& request) {
  Shortage shortage;
  std::map<std::string, std::uint32_t> free_in;
  std::uint32_t gpu_count_max = 0;
  bool is_offered = false;
  for (const NodeSlots& node : slots) {
    if (!is_suitable(node, request)) continue;
    is_offered = true;
    if (!is_in_any_class(node, request)) continue;
    free_in[node.zone] += static_cast<std::uint32_t>(node.free_slots.size());
    gpu_count_max = std::max(gpu_count_max, node.gpu_count);
  }
  for (const auto& [zone, free_gpu_count] : free_in) {
    shortage.zones.push_back({zone, free_gpu_count});
  }

  const bool is_reserved_only =
      request.classes == std::vector<CapacityClass>{CapacityClass::reserved};
  if (request.zones && request.zones->empty()) {
    shortage.reason = "NoMatchingZone";
    shortage.message = "The gateways have no zone in common.";
  } else if (free_in.empty() && is_reserved_only) {
    shortage.reason = "NoReservedCapacity";
    shortage.message = fmt::format(
        "No capacity claim of the organization holds an instance of {} in the "
        "gateways' zones.",
        request.instance_type);
  } else if (!is_offered) {
    shortage.reason = "NoMatchingZone";
    shortage.message =
        fmt::format("There is no instance of {} in the gateways' zones.", request.instance_type);
  } else if (!free_in.empty() && gpu_count_max < request.gpu_count && !request.may_span) {
    shortage.reason = "InsufficientCapacity";
    shortage.message = fmt::format(
        "An instance of {} has {} GPUs, one replica needs {}, and replicas do not span instances.",
        request.instance_type, gpu_count_max, request.gpu_count);
  } else {
    shortage.reason = "InsufficientCapacity";
    shortage.message = fmt::format("Waiting for GPUs of {}.", request.instance_type);
  }
  return shortage;
}

}  // namespace staithe::reconcile
