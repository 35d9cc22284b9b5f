#include "reconcile/insight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace staithe::reconcile {
namespace {

using model::CapacityClass;
using model::ExplainedReplica;
using model::PlannedChange;
using model::PlannedReplica;
using model::RollOut;
using model::Status;

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

CapacityClass class_of(const model::Replica& replica) {
  return replica.claim_id.empty() ? CapacityClass::on_demand : CapacityClass::reserved;
}

std::vector<model::Id> nodes_of(const model::Replica& replica) {
  std::vector<model::Id> nodes;
  for (const model::ReplicaPart& part : replica.parts) nodes.push_back(part.node_id);
  return nodes;
}

// "Reserved on n1 by claim c1."
std::string place_text(const model::Replica& replica) {
  const std::string nodes = fmt::format("{}", fmt::join(nodes_of(replica), ", "));
  return replica.claim_id.empty()
             ? fmt::format("On demand on {}.", nodes)
             : fmt::format("Reserved on {} by claim {}.", nodes, replica.claim_id);
}

std::vector<model::ZoneShortage> shortages_of(const DeploymentPlan& plan, std::uint32_t gpu_count) {
  std::vector<model::ZoneShortage> zones;
  if (plan.unplaced == 0 || !plan.shortage) return zones;
  const std::uint32_t needed = plan.unplaced * gpu_count;
  for (const Shortage::Zone& zone : plan.shortage->zones) {
    zones.push_back({.zone = zone.zone,
                     .needed = needed,
                     .free = zone.free_gpu_count,
                     .missing = needed - std::min(needed, zone.free_gpu_count),
                     .reason = plan.shortage->reason});
  }
  return zones;
}

// ---- explaining

model::ReplicaPhase phase_of(const SeenReplica& replica) {
  if (!replica.state) return model::ReplicaPhase::recorded;
  switch (replica.state->phase) {
    case runtime::ReplicaPhase::starting:
      return model::ReplicaPhase::starting;
    case runtime::ReplicaPhase::ready:
      return model::ReplicaPhase::ready;
    case runtime::ReplicaPhase::stopping:
      return model::ReplicaPhase::stopping;
    case runtime::ReplicaPhase::exited:
      return model::ReplicaPhase::exited;
    case runtime::ReplicaPhase::failed:
      return model::ReplicaPhase::failed;
  }
  return model::ReplicaPhase::unspecified;
}

std::string replica_reason(const DeploymentView& view, const SeenReplica& replica) {
  std::string reason = place_text(replica.record);
  const auto add = [&reason](std::string_view sentence) {
    reason += ' ';
    reason += sentence;
  };
  if (replica.record.draining) {
    add("It finishes the requests it has and goes.");
  } else if (replica.must_leave) {
    add("It has to leave its node, which is no longer its home.");
  } else if (replica.record.spec_hash != view.spec_hash) {
    add("It runs an earlier spec and serves until a new one does.");
  }
  if (replica.state && !replica.state->message.empty()) {
    add(replica.state->message);
  } else if (!replica.state) {
    add("Its engine was not asked to start yet, or the driver has not answered.");
  }
  return reason;
}

std::vector<ExplainedReplica> explain_replicas(const DeploymentView& view, Instant now,
                                               Timestamp wall_now) {
  std::vector<const SeenReplica*> ordered;
  for (const SeenReplica& replica : view.replicas) ordered.push_back(&replica);
  std::sort(ordered.begin(), ordered.end(), [](const SeenReplica* left, const SeenReplica* right) {
    return std::tie(left->record.created_at, left->record.id) <
           std::tie(right->record.created_at, right->record.id);
  });
  std::vector<ExplainedReplica> explained;
  for (const SeenReplica* replica : ordered) {
    ExplainedReplica entry{.id = replica->record.id,
                           .is_current = replica->record.spec_hash == view.spec_hash,
                           .is_draining = replica->record.draining,
                           .nodes = nodes_of(replica->record),
                           .zone = replica->zone,
                           .capacity_class = class_of(replica->record),
                           .claim_id = replica->record.claim_id,
                           .phase = phase_of(*replica),
                           .since = replica->record.created_at,
                           .restarts = 0,
                           .reason = replica_reason(view, *replica)};
    if (replica->state) {
      entry.since = wall_now - std::chrono::duration_cast<std::chrono::microseconds>(
                                   now - replica->state->since);
      entry.restarts = replica->state->restarts;
    }
    explained.push_back(std::move(entry));
  }
  return explained;
}

auto turn_of(const model::Deployment& deployment) {
  return std::tuple(~deployment.spec.autoscaling.priority, deployment.status.created_at,
                    std::string_view(deployment.spec.id));
}

// Those below their minimum whose turn comes first and who could use the same machines.
std::vector<model::ServedBefore> served_before(const World& world, const model::Deployment& mine) {
  std::vector<std::pair<const model::Deployment*, std::uint32_t>> waiting;
  for (const auto& [id, other] : world.deployments()) {
    const model::Deployment& each = other.value;
    if (each.spec.disabled || each.status.status == Status::deleting ||
        each.status.status == Status::failed || turn_of(each) >= turn_of(mine) ||
        model::fold_instance(each.spec.resources.instance_type) !=
            model::fold_instance(mine.spec.resources.instance_type)) {
      continue;
    }
    std::uint32_t live_count = 0;
    for (const model::Id& replica : world.replicas_of(id)) {
      live_count += world.find_replica(replica)->value.draining ? 0 : 1;
    }
    if (live_count < each.spec.autoscaling.min) {
      waiting.emplace_back(&each, each.spec.autoscaling.min - live_count);
    }
  }
  std::sort(waiting.begin(), waiting.end(), [](const auto& left, const auto& right) {
    return turn_of(*left.first) < turn_of(*right.first);
  });
  std::vector<model::ServedBefore> entries;
  for (const auto& [each, count] : waiting) {
    const bool is_own = each->spec.organization_id == mine.spec.organization_id;
    entries.push_back({.deployment_id = is_own ? each->spec.id : model::Id{},
                       .name = is_own ? each->spec.name : std::string{},
                       .priority = each->spec.autoscaling.priority,
                       .waiting_replicas = count});
  }
  return entries;
}

std::string summarize(const model::Explanation& explanation, const model::Deployment& deployment,
                      std::size_t ready) {
  if (deployment.status.status == Status::deleting) {
    return explanation.replicas.empty()
               ? "It is being deleted and nothing of it is left."
               : fmt::format("It is being deleted; {} left.",
                             plural(explanation.replicas.size(), "replica") +
                                 (explanation.replicas.size() == 1 ? " is" : " are"));
  }
  if (deployment.spec.disabled)
    return "It is disabled: no replica is wanted and nothing is served.";
  std::string text =
      fmt::format("{} of {} ready", ready, plural(explanation.wanted, "wanted replica"));
  if (explanation.unplaced > 0) {
    text +=
        fmt::format(", {} without a place: {}", explanation.unplaced, explanation.unplaced_reason);
  } else if (ready < explanation.wanted) {
    text += ", the others are on their way";
  }
  if (text.back() != '.') text += '.';
  if (deployment.status.status == Status::failed || deployment.status.status == Status::error) {
    const model::Condition* cause =
        model::find_condition(deployment.status.conditions, model::condition::ready);
    if (cause != nullptr) text += ' ' + cause->message;
  } else if (!explanation.roll_out_reason.empty()) {
    text += ' ' + explanation.roll_out_reason;
  }
  return text;
}

}  // namespace

model::Explanation explain_deployment(const World& world, const DeploymentView& view,
                                      const DeploymentPlan& plan, const ScaleView& scale,
                                      Instant now, Timestamp wall_now) {
  const model::Deployment& deployment = view.deployment;
  const auto& autoscaling = deployment.spec.autoscaling;
  model::Explanation explanation;
  explanation.deployment_id = deployment.spec.id;
  explanation.status = deployment.status.status;
  explanation.min = autoscaling.min;
  explanation.max = autoscaling.max;
  const bool wants_none = deployment.spec.disabled || deployment.status.status == Status::deleting;
  explanation.wanted = wants_none ? 0 : std::max(view.wanted, autoscaling.min);
  explanation.wanted_reason = scale.reason;
  explanation.demand = scale.demand;
  explanation.target = scale.target;
  explanation.replicas = explain_replicas(view, now, wall_now);

  explanation.unplaced = plan.unplaced;
  if (plan.unplaced > 0 && plan.shortage) explanation.unplaced_reason = plan.shortage->message;
  explanation.shortages = shortages_of(plan, deployment.spec.resources.gpu_count);
  if (plan.unplaced > 0) explanation.served_before = served_before(world, deployment);

  std::size_t current = 0;
  std::size_t ready = 0;
  for (const SeenReplica& replica : view.replicas) {
    const bool is_current = replica.record.spec_hash == view.spec_hash;
    explanation.old_replicas += is_current ? 0 : 1;
    if (replica.record.draining) continue;
    current += is_current ? 1 : 0;
    ready += replica.is_ready() ? 1 : 0;
  }
  if (!wants_none && explanation.old_replicas > 0) {
    const bool is_surge = current >= explanation.wanted;
    explanation.roll_out = is_surge ? RollOut::surge : RollOut::one_by_one;
    explanation.roll_out_reason = fmt::format(
        "{} of an earlier spec left; {}.", plural(explanation.old_replicas, "replica"),
        is_surge ? "the new ones start beside them"
                 : "there is no room for all new ones beside them, so they are replaced in turn");
  }
  explanation.summary = summarize(explanation, deployment, ready);
  return explanation;
}

// ---- previewing

namespace {

// A deployment's plan taken apart.
class DeploymentPreview {
 public:
  DeploymentPreview(const World& world, const model::Deployment* before, const DeploymentView& view,
                    const DeploymentPlan& plan)
      : world_(world), before_(before), view_(view), plan_(plan) {
    for (const SeenReplica& replica : view.replicas) {
      if (replica.record.draining) continue;
      const bool is_drained =
          std::find(plan.drain.begin(), plan.drain.end(), replica.record.id) != plan.drain.end();
      const bool is_old = replica.must_leave || replica.record.spec_hash != view.spec_hash;
      if (!is_old) {
        (is_drained ? leaving_ : staying_).push_back(&replica);
      } else {
        old_.push_back(&replica);
      }
    }
  }

  model::PlanPreview preview() {
    const bool wants_none = view_.deployment.spec.disabled;
    for (const SeenReplica* replica : staying_) {
      add(PlannedChange::keep, *replica, "It runs what is asked for.");
    }
    for (const SeenReplica* replica : leaving_) {
      add(PlannedChange::drain, *replica,
          wants_none ? "The deployment is disabled." : "It is more than is wanted.");
    }
    add_new();
    for (const SeenReplica* replica : old_) {
      if (wants_none) {
        add(PlannedChange::drain, *replica, "The deployment is disabled.");
      } else if (waiting_ > 0) {
        add_in_turn(*replica);
      } else {
        add(PlannedChange::drain, *replica, "It runs an earlier spec and is more than is wanted.");
      }
    }
    preview_.pending = waiting_;
    if (waiting_ > 0 && plan_.shortage) {
      preview_.pending_reason = plan_.shortage->message;
      preview_.shortages = shortages_of(plan_, view_.deployment.spec.resources.gpu_count);
    }
    preview_.is_without_effect = before_ != nullptr && before_->spec == view_.deployment.spec;
    preview_.summary = summarize();
    return std::move(preview_);
  }

 private:
  void add(PlannedChange change, const SeenReplica& replica, std::string reason) {
    if (change == PlannedChange::drain && replica.is_ready()) preview_.restarts_replicas = true;
    preview_.replicas.push_back({.change = change,
                                 .id = replica.record.id,
                                 .replaced_id = {},
                                 .nodes = nodes_of(replica.record),
                                 .zone = replica.zone,
                                 .capacity_class = class_of(replica.record),
                                 .claim_id = replica.record.claim_id,
                                 .reason = std::move(reason)});
  }

  void add_new() {
    waiting_ = plan_.unplaced;
    for (const model::Replica& created : plan_.create) {
      PlannedReplica entry{.change = PlannedChange::create,
                           .id = {},
                           .replaced_id = {},
                           .nodes = nodes_of(created),
                           .zone = {},
                           .capacity_class = class_of(created),
                           .claim_id = created.claim_id,
                           .reason = place_text(created)};
      entry.zone = zone_of(entry.nodes.front());
      if (!old_.empty()) {
        entry.change = PlannedChange::replace;
        entry.replaced_id = old_.front()->record.id;
        entry.reason += " It starts first, then the old one finishes what it has and goes.";
        preview_.restarts_replicas = true;
        old_.erase(old_.begin());
      }
      preview_.replicas.push_back(std::move(entry));
    }
    for (std::size_t i = old_.size(); i < waiting_; ++i) {
      preview_.replicas.push_back(
          {.change = PlannedChange::create,
           .id = {},
           .replaced_id = {},
           .nodes = {},
           .zone = {},
           .capacity_class = {},
           .claim_id = {},
           .reason = plan_.shortage ? "It waits. " + plan_.shortage->message : "It waits."});
    }
  }

  // No room beside it.
  void add_in_turn(const SeenReplica& old) {
    preview_.restarts_replicas = true;
    preview_.replicas.push_back(
        {.change = PlannedChange::replace,
         .id = {},
         .replaced_id = old.record.id,
         .nodes = {},
         .zone = {},
         .capacity_class = {},
         .claim_id = {},
         .reason = "There is no room beside the old one: that one finishes what it has and goes "
                   "first, if its place is enough."});
  }

  std::string zone_of(const model::Id& node_id) const {
    const auto* node = world_.find_node(node_id);
    return node == nullptr ? std::string{} : model::fold_zone(node->value.zone);
  }

  std::string summarize() const {
    if (preview_.is_without_effect) return "Nothing would change.";
    std::map<PlannedChange, std::size_t> counts;
    for (const PlannedReplica& replica : preview_.replicas) counts[replica.change] += 1;
    std::vector<std::string> parts;
    const auto note = [&](PlannedChange change, std::string_view what) {
      if (counts[change] > 0) parts.push_back(fmt::format("{} {}", counts[change], what));
    };
    note(PlannedChange::create, "created");
    note(PlannedChange::replace, "replaced");
    note(PlannedChange::keep, "kept");
    note(PlannedChange::drain, "drained");
    std::string text =
        parts.empty() ? "No replicas." : fmt::format("Replicas: {}.", fmt::join(parts, ", "));
    if (preview_.pending > 0) {
      text += fmt::format(" {} would wait for room.", plural(preview_.pending, "replica"));
    }
    if (before_ != nullptr && !preview_.restarts_replicas) text += " No running replica restarts.";
    return text;
  }

  const World& world_;
  const model::Deployment* before_;
  const DeploymentView& view_;
  const DeploymentPlan& plan_;
  std::vector<const SeenReplica*> staying_;
  std::vector<const SeenReplica*> leaving_;
  std::vector<const SeenReplica*> old_;
  std::uint32_t waiting_ = 0;
  model::PlanPreview preview_;
};

}  // namespace

model::PlanPreview preview_deployment(const World& world, const model::Deployment* before,
                                      const DeploymentView& view, const DeploymentPlan& plan) {
  return DeploymentPreview(world, before, view, plan).preview();
}

model::PlanPreview preview_claim(const World& world, const model::CapacityClaim* before,
                                 const model::CapacityClaim& wanted, const ClaimPlan& plan) {
  model::PlanPreview preview;
  for (const std::string& zone : wanted.spec.resources.zones) {
    const std::string folded = model::fold_zone(zone);
    const bool is_known =
        std::any_of(preview.zones.begin(), preview.zones.end(),
                    [&folded](const model::PlannedZone& each) { return each.zone == folded; });
    if (!is_known)
      preview.zones.push_back({.zone = folded, .kept = {}, .taken = {}, .released = {}});
  }
  const auto lists_of = [&](const model::Id& node_id) -> model::PlannedZone& {
    const auto* node = world.find_node(node_id);
    const std::string zone = node == nullptr ? std::string{} : model::fold_zone(node->value.zone);
    for (model::PlannedZone& each : preview.zones) {
      if (each.zone == zone) return each;
    }
    return preview.zones.emplace_back(
        model::PlannedZone{.zone = zone, .kept = {}, .taken = {}, .released = {}});
  };
  std::size_t kept = 0;
  std::size_t leaving = 0;
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    const model::Id& id = plan.nodes[i];
    if (std::find(plan.reserve.begin(), plan.reserve.end(), id) != plan.reserve.end()) {
      lists_of(id).taken.push_back(id);
    } else if (i < plan.allocated) {
      lists_of(id).kept.push_back(id);
      kept += 1;
    } else {
      lists_of(id).released.push_back(id);
      leaving += 1;
    }
  }
  for (const model::Id& id : plan.release) {
    lists_of(id).released.push_back(id);
    leaving += 1;
  }
  preview.pending = plan.pending;
  for (const model::Condition& condition : plan.conditions) {
    if (condition.status != model::ConditionStatus::is_false || plan.pending == 0) continue;
    if (condition.zone.empty()) preview.pending_reason = condition.message;
  }
  std::uint32_t needed = wanted.spec.resources.instance_count;
  for (const model::PlannedZone& zone : preview.zones) {
    if (plan.pending == 0 || zone.zone.empty()) continue;
    const auto got = static_cast<std::uint32_t>(zone.kept.size() + zone.taken.size());
    preview.shortages.push_back({.zone = zone.zone,
                                 .needed = needed,
                                 .free = got,
                                 .missing = needed - std::min(needed, got),
                                 .reason = preview.pending_reason});
    needed -= std::min(needed, got);
  }
  preview.is_without_effect =
      before != nullptr && before->spec == wanted.spec && plan.reserve.empty() && leaving == 0;
  preview.restarts_replicas = std::any_of(
      preview.zones.begin(), preview.zones.end(), [&world](const model::PlannedZone& zone) {
        return std::any_of(
            zone.released.begin(), zone.released.end(),
            [&world](const model::Id& id) { return !world.replicas_on(id).empty(); });
      });
  preview.summary = preview.is_without_effect
                        ? "Nothing would change."
                        : fmt::format("Instances: {} taken, {} kept, {} released, {} waited for.",
                                      plan.reserve.size(), kept, leaving, plan.pending);
  return preview;
}

}  // namespace staithe::reconcile
