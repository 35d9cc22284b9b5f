#include "reconcile/claim_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace staithe::reconcile {
namespace {

using model::CapacityClaim;
using model::Condition;
using model::ConditionStatus;

using Nodes = std::vector<const HeldNode*>;

std::vector<std::string> folded_zones(const CapacityClaim& claim) {
  std::vector<std::string> zones;
  for (const std::string& zone : claim.spec.resources.zones) {
    std::string folded = model::fold_zone(zone);
    if (std::find(zones.begin(), zones.end(), folded) == zones.end()) {
      zones.push_back(std::move(folded));
    }
  }
  return zones;
}

// Whether a claim may ever have a node, by its type, zone and owner.
class Matcher {
 public:
  explicit Matcher(const CapacityClaim& claim)
      : instance_type_(model::fold_instance(claim.spec.resources.instance_id)),
        zones_(folded_zones(claim)) {
    if (claim.spec.resources.capacity_type == model::CapacityType::customer) {
      owner_ = claim.spec.organization_id;
    }
  }

  bool fits(const model::Node& node) const {
    return node.owner_organization == owner_ &&
           model::fold_instance(node.instance_type) == instance_type_ && rank(node) < zones_.size();
  }
  // The place of the node's zone in the claim's order.
  std::size_t rank(const model::Node& node) const {
    const auto found = std::find(zones_.begin(), zones_.end(), model::fold_zone(node.zone));
    return static_cast<std::size_t>(found - zones_.begin());
  }
  const std::vector<std::string>& zones() const { return zones_; }
  const std::string& instance_type() const { return instance_type_; }
  const std::string& owner() const { return owner_; }  // empty: managed

 private:
  std::string instance_type_;
  std::vector<std::string> zones_;
  std::string owner_;
};

bool is_deleting(const CapacityClaim& claim) {
  return claim.status.status == model::Status::deleting;
}

std::uint32_t wanted_of(const CapacityClaim& claim) {
  return is_deleting(claim) ? 0 : claim.spec.resources.instance_count;
}

struct HeldNodes {
  Nodes usable;                 // best to keep first
  std::vector<model::Id> lost;  // would fit, but the machine does not answer
  Nodes unfit;                  // no longer what the spec asks for, or being drained
};

HeldNodes sort_held(const ClaimView& view, const Matcher& matcher) {
  const CapacityClaim& claim = view.claim;
  HeldNodes held;
  std::map<model::Id, std::size_t> place;
  for (std::size_t i = 0; i < claim.status.nodes.size(); ++i) place[claim.status.nodes[i]] = i;
  std::map<model::Id, const HeldNode*> known;
  for (const HeldNode& node : view.held) known[node.node.id] = &node;

  for (const model::Id& id : claim.status.nodes) {
    const auto found = known.find(id);
    if (found == known.end()) {
      held.lost.push_back(id);
    } else if (found->second->node.is_draining || !matcher.fits(found->second->node)) {
      held.unfit.push_back(found->second);
    } else if (!found->second->node.schedulable) {
      held.lost.push_back(id);
    } else {
      held.usable.push_back(found->second);
    }
  }
  // Nodes already being emptied come last; before them the emptiest, and of the busy ones those
  // with the newest replicas.
  std::sort(held.usable.begin(), held.usable.end(), [&](const auto* left, const auto* right) {
    const auto key = [&](const HeldNode* node) {
      return std::tuple(place[node->node.id] >= claim.status.allocated_instances,
                        node->replica_count == 0, node->oldest_replica, matcher.rank(node->node),
                        node->node.id);
    };
    return key(left) < key(right);
  });
  return held;
}

Condition allocated_condition(std::string zone, ConditionStatus status, std::string_view reason,
                              std::string message) {
  Condition condition;
  condition.type = model::condition::allocated;
  condition.status = status;
  condition.reason = reason;
  condition.message = std::move(message);
  condition.zone = std::move(zone);
  return condition;
}

std::string_view shortage_reason(const CapacityClaim& claim, std::uint32_t got) {
  if (claim.spec.resources.capacity_type == model::CapacityType::customer) return "NodesJoining";
  return got == 0 ? "InsufficientCapacity" : "Partial";
}

std::vector<Condition> describe(const CapacityClaim& claim, const ClaimPlan& plan,
                                const std::vector<std::string>& zones,
                                const std::map<std::string, std::uint32_t>& got_in) {
  const std::uint32_t wanted = claim.spec.resources.instance_count;
  std::vector<Condition> conditions;
  if (plan.pending == 0) {
    conditions.push_back(
        allocated_condition("", ConditionStatus::is_true, "AllAllocated",
                            fmt::format("{} of {} instances are allocated.", wanted, wanted)));
  } else {
    conditions.push_back(allocated_condition(
        "", ConditionStatus::is_false, shortage_reason(claim, plan.allocated),
        fmt::format("Waiting for instances of {}: needed {}, free {}, missing {}.",
                    claim.spec.resources.instance_id, wanted, plan.allocated, plan.pending)));
  }
  std::uint32_t needed = wanted;
  for (const std::string& zone : zones) {
    const auto found = got_in.find(zone);
    const std::uint32_t got = found == got_in.end() ? 0 : found->second;
    if (plan.pending == 0) {
      if (got == 0) continue;
      conditions.push_back(
          allocated_condition(zone, ConditionStatus::is_true, "AllAllocated",
                              fmt::format("{} instances are allocated in this zone.", got)));
    } else {
      conditions.push_back(allocated_condition(
          zone, ConditionStatus::is_false, shortage_reason(claim, got),
          fmt::format("needed {}, free {}, missing {}", needed, got, needed - got)));
    }
    needed -= std::min(needed, got);
  }
  return conditions;
}

}  // namespace

ClaimPlan plan_claim(const ClaimView& view) {
  const CapacityClaim& claim = view.claim;
  const Matcher matcher(claim);
  const std::uint32_t wanted = wanted_of(claim);
  HeldNodes held = sort_held(view, matcher);

  ClaimPlan plan;
  Nodes leaving = std::move(held.unfit);
  std::map<std::string, std::uint32_t> got_in;
  const auto use = [&plan, &got_in](const model::Node& node) {
    plan.nodes.push_back(node.id);
    got_in[model::fold_zone(node.zone)] += 1;
  };
  for (const HeldNode* node : held.usable) {
    if (plan.nodes.size() < wanted) {
      use(node->node);
    } else {
      leaving.push_back(node);
    }
  }
  for (const model::Node& node : view.offered) {
    if (plan.nodes.size() >= wanted) break;
    use(node);
    plan.reserve.push_back(node.id);
  }
  plan.allocated = static_cast<std::uint32_t>(plan.nodes.size());
  plan.pending = wanted - plan.allocated;

  // A lost node is kept as long as nothing replaces it: its engines may still run.
  std::uint32_t lost_kept = 0;
  for (const model::Id& id : held.lost) {
    const auto known = std::find_if(view.held.begin(), view.held.end(),
                                    [&id](const auto& node) { return node.node.id == id; });
    const bool is_empty = known == view.held.end() || known->replica_count == 0;
    if (lost_kept < plan.pending) {
      lost_kept += 1;
      plan.nodes.push_back(id);
    } else if (is_empty) {
      plan.release.push_back(id);
    } else {
      plan.nodes.push_back(id);
    }
  }
  for (const HeldNode* node : leaving) {
    (node->replica_count == 0 ? plan.release : plan.nodes).push_back(node->node.id);
  }

  const bool is_emptied = plan.nodes.size() == plan.allocated;
  plan.is_gone = is_deleting(claim) && plan.nodes.empty();
  plan.facts.is_settled = plan.pending == 0 && is_emptied;
  plan.facts.is_minimum_met = plan.pending == 0;
  plan.conditions = describe(claim, plan, matcher.zones(), got_in);
  return plan;
}

WaitingClaim need_of(const ClaimView& view) {
  const CapacityClaim& claim = view.claim;
  const Matcher matcher(claim);
  const std::size_t usable = sort_held(view, matcher).usable.size();
  const std::uint32_t wanted = wanted_of(claim);
  return {.age = {claim.status.created_at, claim.spec.id},
          .owner = matcher.owner(),
          .instance_type = matcher.instance_type(),
          .zones = matcher.zones(),
          .missing = wanted > usable ? wanted - static_cast<std::uint32_t>(usable) : 0};
}

bool may_use(const CapacityClaim& claim, const model::Id& node_id) {
  if (is_deleting(claim)) return false;
  const auto& nodes = claim.status.nodes;
  const auto end =
      nodes.begin() + std::min<std::ptrdiff_t>(claim.status.allocated_instances,
                                               static_cast<std::ptrdiff_t>(nodes.size()));
  return std::find(nodes.begin(), end, node_id) != end;
}

bool must_leave(const CapacityClaim& claim, const model::Id& node_id, const model::Node* node) {
  if (is_deleting(claim)) return true;
  if (may_use(claim, node_id)) return false;
  const auto& nodes = claim.status.nodes;
  if (std::find(nodes.begin(), nodes.end(), node_id) == nodes.end()) return true;
  const bool is_lost = node == nullptr || !node->schedulable;
  return !is_lost || !is_waiting(claim);
}

bool is_waiting(const CapacityClaim& claim) {
  return wanted_of(claim) > claim.status.allocated_instances;
}

}  // namespace staithe::reconcile
