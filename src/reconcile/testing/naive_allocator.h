#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "model/capacity_claim.h"
#include "reconcile/allot.h"

// The rules of capacity once more, written for their wording and with no thought of speed: what the
// allocator is held against.
namespace staithe::reconcile::testing {

struct NaiveNode {
  model::Id id;
  std::string zone;
  std::string type;
  std::uint32_t gpu_count = 0;
  model::Id organization;  // of the claim that may use it; empty: on demand
  model::Id claim_id;
  std::set<std::uint32_t> firm;     // slots that stay held
  std::set<std::uint32_t> leaving;  // slots that come free

  std::vector<std::uint32_t> free(bool is_soon) const {
    std::vector<std::uint32_t> slots;
    for (std::uint32_t slot = 0; slot < gpu_count; ++slot) {
      if (!firm.contains(slot) && (is_soon || !leaving.contains(slot))) slots.push_back(slot);
    }
    return slots;
  }
};

struct NaiveReplica {
  model::Id id;
  std::vector<model::ReplicaPart> parts;
};

struct NaiveDeployment {
  std::uint32_t priority = 0;
  Timestamp created_at;
  model::Id id;
  PlacementRequest request;
  std::uint32_t missing_of_min = 0;
  std::uint32_t missing_above_min = 0;
  std::vector<NaiveReplica> spares;  // the newest first

  bool operator<(const NaiveDeployment& other) const {
    return std::tuple(other.priority, created_at, id) <
           std::tuple(priority, other.created_at, other.id);
  }
};

class NaiveAllocator {
 public:
  std::vector<NaiveNode> nodes;              // that may be used
  std::vector<NaiveDeployment> deployments;  // that compete

  Allotments allot() {
    std::sort(deployments.begin(), deployments.end());
    for (NaiveDeployment& each : deployments) serve(each, each.missing_of_min, true);
    for (NaiveDeployment& each : deployments) serve(each, each.missing_above_min, false);
    return std::move(result_);
  }

  std::optional<Placement> find(const PlacementRequest& request, bool is_soon) const {
    if (request.gpu_count == 0) return std::nullopt;
    std::uint32_t largest = 0;
    for (const NaiveNode& node : nodes) {
      if (node.type == request.instance_type) largest = std::max(largest, node.gpu_count);
    }
    const bool spans = request.may_span && largest < request.gpu_count;
    for (const model::CapacityClass capacity : request.classes) {
      std::map<std::string, std::vector<const NaiveNode*>> by_zone;
      for (const NaiveNode& node : nodes) {
        if (is_suitable(node, request, capacity)) by_zone[node.zone].push_back(&node);
      }
      std::vector<std::tuple<std::uint32_t, bool, std::int64_t, std::string>> zones;
      for (const auto& [zone, members] : by_zone) {
        if (choose(members, request, spans, is_soon).empty()) continue;
        std::int64_t room = 0;
        for (const NaiveNode* node : members) {
          room += static_cast<std::int64_t>(node->free(false).size());
        }
        const auto there = request.replicas_in.find(zone);
        zones.emplace_back(there == request.replicas_in.end() ? 0 : there->second,
                           !request.preferred_zones.contains(zone), -room, zone);
      }
      if (zones.empty()) continue;
      std::sort(zones.begin(), zones.end());
      const std::string zone = std::get<3>(zones.front());
      Placement placement{.zone = zone, .parts = {}, .claim_id = {}};
      for (const NaiveNode* node : choose(by_zone[zone], request, spans, is_soon)) {
        if (placement.parts.empty()) placement.claim_id = node->claim_id;
        placement.parts.push_back(
            {node->id, pick(*node, spans ? node->gpu_count : request.gpu_count)});
      }
      return placement;
    }
    return std::nullopt;
  }

 private:
  static bool is_suitable(const NaiveNode& node, const PlacementRequest& request,
                          model::CapacityClass capacity) {
    if (node.type != request.instance_type) return false;
    if (request.zones && !request.zones->contains(node.zone)) return false;
    return capacity == model::CapacityClass::reserved
               ? !node.organization.empty() && node.organization == request.organization
               : node.organization.empty();
  }

  static std::vector<const NaiveNode*> choose(std::vector<const NaiveNode*> members,
                                              const PlacementRequest& request, bool spans,
                                              bool is_soon) {
    if (spans) {
      std::erase_if(members, [is_soon](const NaiveNode* node) {
        return node->gpu_count == 0 || node->free(is_soon).size() < node->gpu_count;
      });
      std::sort(members.begin(), members.end(), [](const NaiveNode* a, const NaiveNode* b) {
        const bool a_waits = a->free(false).size() < a->gpu_count;
        const bool b_waits = b->free(false).size() < b->gpu_count;
        return std::tuple(a_waits, b->gpu_count, a->id) < std::tuple(b_waits, a->gpu_count, b->id);
      });
      std::uint32_t sum = 0;
      std::size_t count = 0;
      while (count < members.size() && sum < request.gpu_count) sum += members[count++]->gpu_count;
      members.resize(sum < request.gpu_count ? 0 : count);
      return members;
    }
    std::erase_if(members, [&](const NaiveNode* node) {
      return node->free(is_soon).size() < request.gpu_count;
    });
    const auto best = std::min_element(members.begin(), members.end(),
                                       [is_soon](const NaiveNode* a, const NaiveNode* b) {
                                         return std::tuple(a->free(is_soon).size(), a->id) <
                                                std::tuple(b->free(is_soon).size(), b->id);
                                       });
    if (best == members.end()) return {};
    return {*best};
  }

  static std::vector<std::uint32_t> pick(const NaiveNode& node, std::uint32_t count) {
    std::vector<std::uint32_t> slots = node.free(false);
    for (const std::uint32_t slot : node.free(true)) {
      if (std::find(slots.begin(), slots.end(), slot) == slots.end()) slots.push_back(slot);
    }
    slots.resize(count);
    std::sort(slots.begin(), slots.end());
    return slots;
  }

  void serve(const NaiveDeployment& each, std::uint32_t count, bool is_min) {
    PlacementRequest request = each.request;
    Allotment& mine = result_.by_deployment[each.id];
    for (const Placement& had : mine.placements) request.replicas_in[had.zone] += 1;
    for (const Placement& had : mine.coming) request.replicas_in[had.zone] += 1;
    for (std::uint32_t i = 0; i < count; ++i) {
      std::optional<Placement> placement = find(request, false);
      const bool is_now = placement.has_value();
      if (!placement) placement = find(request, true);
      if (!placement && is_min) placement = evict(each, request);
      if (!placement) break;
      request.replicas_in[placement->zone] += 1;
      mark(placement->parts, &NaiveNode::firm, true);
      (is_now ? mine.placements : mine.coming).push_back(*placement);
    }
    if (mine.placements.empty() && mine.coming.empty()) result_.by_deployment.erase(each.id);
  }

  std::optional<Placement> evict(const NaiveDeployment& each, const PlacementRequest& request) {
    std::vector<NaiveReplica> gone;
    std::optional<Placement> placement;
    for (auto loser = deployments.rbegin(); loser != deployments.rend() && !placement; ++loser) {
      if (loser->priority >= each.priority) continue;
      for (const NaiveReplica& spare : loser->spares) {
        if (result_.victims.contains(spare.id) || !is_of_use(spare, request)) continue;
        set_leaving(spare, true);
        gone.push_back(spare);
        if ((placement = find(request, true))) break;
      }
    }
    std::set<model::Id> nodes_needed;
    if (placement) {
      for (const auto& part : placement->parts) nodes_needed.insert(part.node_id);
    }
    std::vector<NaiveReplica> in_the_way;
    for (const NaiveReplica& spare : gone) {
      const bool is_there =
          std::any_of(spare.parts.begin(), spare.parts.end(),
                      [&](const auto& part) { return nodes_needed.contains(part.node_id); });
      if (is_there) {
        in_the_way.push_back(spare);
      } else {
        set_leaving(spare, false);
      }
    }
    std::reverse(in_the_way.begin(), in_the_way.end());
    for (const NaiveReplica& spare : in_the_way) {
      set_leaving(spare, false);
      if (find(request, true)) continue;
      set_leaving(spare, true);
      result_.victims[spare.id] = each.id;
    }
    return placement ? find(request, true) : std::nullopt;
  }

  bool is_of_use(const NaiveReplica& spare, const PlacementRequest& request) const {
    for (const NaiveNode& node : nodes) {
      for (const auto& part : spare.parts) {
        if (part.node_id != node.id) continue;
        for (const model::CapacityClass capacity : request.classes) {
          if (is_suitable(node, request, capacity)) return true;
        }
      }
    }
    return false;
  }

  void set_leaving(const NaiveReplica& replica, bool is_leaving) {
    mark(replica.parts, &NaiveNode::firm, !is_leaving);
    mark(replica.parts, &NaiveNode::leaving, is_leaving);
  }
  void mark(const std::vector<model::ReplicaPart>& parts,
            std::set<std::uint32_t> NaiveNode::* slots, bool is_held) {
    for (NaiveNode& node : nodes) {
      for (const auto& part : parts) {
        if (part.node_id != node.id) continue;
        for (const std::uint32_t slot : part.gpu_slots) {
          if (is_held) {
            (node.*slots).insert(slot);
          } else {
            (node.*slots).erase(slot);
          }
        }
      }
    }
  }

  Allotments result_;
};

// What each waiting claim may take of the free nodes: the oldest first, zone by zone.
struct NaiveClaim {
  Timestamp created_at;
  model::Id id;
  std::string owner;
  std::string type;
  std::vector<std::string> zones;
  std::uint32_t missing = 0;
};
inline std::map<model::Id, std::vector<model::Id>> naive_shares(std::vector<NaiveClaim> claims,
                                                                std::vector<model::Node> free) {
  std::sort(claims.begin(), claims.end(), [](const NaiveClaim& a, const NaiveClaim& b) {
    return std::tie(a.created_at, a.id) < std::tie(b.created_at, b.id);
  });
  std::sort(free.begin(), free.end(),
            [](const model::Node& a, const model::Node& b) { return a.id < b.id; });
  std::map<model::Id, std::vector<model::Id>> shares;
  for (const NaiveClaim& claim : claims) {
    std::uint32_t missing = claim.missing;
    for (const std::string& zone : claim.zones) {
      for (auto node = free.begin(); node != free.end() && missing > 0;) {
        if (node->zone != zone || node->instance_type != claim.type ||
            node->owner_organization != claim.owner) {
          ++node;
          continue;
        }
        shares[claim.id].push_back(node->id);
        node = free.erase(node);
        missing -= 1;
      }
    }
  }
  return shares;
}

}  // namespace staithe::reconcile::testing
