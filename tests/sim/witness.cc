#include "sim/witness.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "store/records.h"

namespace staithe::sim {
namespace {

using model::Status;
using store::Kind;

constexpr std::array<std::string_view, 9> condition_order = {
    model::condition::ready,      model::condition::progressing,
    model::condition::allocated,  model::condition::endpoint_ready,
    model::condition::auth_ready, model::condition::model_available,
    model::condition::scheduled,  model::condition::replicas_ready,
    model::condition::routable,
};

// The steps of the life cycle by who may take them.
bool is_legal(Writer writer, Status from, Status to) {
  if (from == to) return true;
  if (from == Status::deleting) return false;
  if (writer == Writer::service) return to == Status::updating || to == Status::deleting;
  switch (from) {
    case Status::creating:
    case Status::updating:
      return to == Status::ready || to == Status::error || to == Status::failed;
    case Status::ready:
      return to == Status::error;
    case Status::error:
      return to == Status::ready;
    case Status::failed:
    case Status::deleting:
    case Status::unspecified:
      return false;
  }
  return false;
}

bool is_overlapping(const std::vector<model::ReplicaPart>& left,
                    const std::vector<model::ReplicaPart>& right) {
  for (const model::ReplicaPart& one : left) {
    for (const model::ReplicaPart& other : right) {
      if (one.node_id != other.node_id) continue;
      for (const std::uint32_t slot : one.gpu_slots) {
        if (std::find(other.gpu_slots.begin(), other.gpu_slots.end(), slot) !=
            other.gpu_slots.end()) {
          return true;
        }
      }
    }
  }
  return false;
}

template <typename Value, typename Decode>
std::optional<Value> decoded(store::Store& store, Kind kind, const std::string& id, Decode decode) {
  const auto record = store.get(kind, id);
  if (!record || !record->has_value()) return std::nullopt;
  auto value = decode(**record);
  CHECK_THAT(value.has_value(), value ? "" : value.error().message);
  return std::move(value->value);
}

// What a caller of the API sees of a status besides its times.
bool is_visibly_equal(const model::CapacityClaim& left, const model::CapacityClaim& right) {
  return left.status.status == right.status.status &&
         left.status.conditions == right.status.conditions &&
         left.status.allocated_instances == right.status.allocated_instances &&
         left.status.pending_instances == right.status.pending_instances;
}
bool is_visibly_equal(const model::Gateway& left, const model::Gateway& right) {
  return left.status.status == right.status.status &&
         left.status.conditions == right.status.conditions &&
         left.status.endpoints == right.status.endpoints;
}
bool is_visibly_equal(const model::Deployment& left, const model::Deployment& right) {
  return left.status.status == right.status.status &&
         left.status.conditions == right.status.conditions;
}

}  // namespace

void Witness::see_commit(Writer writer, const store::Transaction& transaction) {
  std::set<std::pair<Kind, std::string>> touched;
  for (const store::Step& step : transaction) {
    if (std::holds_alternative<store::Expect>(step)) continue;
    if (const auto record = store::record_of(step)) touched.emplace(record->kind, record->id);
  }
  for (const auto& [kind, id] : touched) {
    switch (kind) {
      case Kind::claim:
        look(claims_, writer, id,
             decoded<model::CapacityClaim>(store_, kind, id, store::decode_claim));
        break;
      case Kind::gateway:
        look(gateways_, writer, id,
             decoded<model::Gateway>(store_, kind, id, store::decode_gateway));
        break;
      case Kind::deployment:
        look(deployments_, writer, id,
             decoded<model::Deployment>(store_, kind, id, store::decode_deployment));
        break;
      case Kind::node:
        if (auto node = decoded<model::Node>(store_, kind, id, store::decode_node)) {
          nodes_.insert_or_assign(id, std::move(*node));
        } else {
          nodes_.erase(id);
        }
        break;
      case Kind::replica:
        look_at_replica(id, decoded<model::Replica>(store_, kind, id, store::decode_replica));
        break;
      case Kind::token:
      case Kind::limit:
        break;
    }
  }
  for (const store::Step& step : transaction) {
    const auto* create = std::get_if<store::Create>(&step);
    if (create == nullptr || create->kind != Kind::replica) continue;
    check_surge(replicas_.at(create->id).deployment_id);
  }
}

template <typename T>
void Witness::look(std::map<model::Id, T>& mirror, Writer writer, const std::string& id,
                   std::optional<T> now) {
  const auto found = mirror.find(id);
  if (!now) {
    if (found == mirror.end()) return;
    stage_.trace.note("{} is gone", id);
    if (found->second.status.status != Status::deleting) {
      fail(Invariant::nothing_acknowledged_is_lost,
           fmt::format("{} is gone and nobody had it deleted", id));
    }
    mirror.erase(found);
    return;
  }
  if (found == mirror.end()) {
    stage_.trace.note("{} is created", id);
    if (writer != Writer::service || now->status.status != Status::creating) {
      fail(Invariant::legal_steps, fmt::format("{} begins as something else than CREATING", id));
    }
    check_conditions(id, now->status);
    note_max(mirror.emplace(id, std::move(*now)).first->second);
    return;
  }
  T before = std::exchange(found->second, std::move(*now));
  const T& after = found->second;
  note_max(after);
  if (before.status.status != after.status.status) {
    stage_.trace.note("{}: {} -> {}{}", id, model::status_name(before.status.status),
                      model::status_name(after.status.status),
                      writer == Writer::service ? " (by a call)" : "");
    stage_.counters.count(model::status_name(after.status.status));
  }
  check_step(writer, id, before.status.status, after.status.status);
  check_conditions(id, after.status);

  const bool is_visible = !is_visibly_equal(before, after) || !(before.spec == after.spec);
  if (is_visible && after.status.updated_at <= before.status.updated_at) {
    fail(Invariant::status_well_formed, fmt::format("{} changed without a later updated_at", id));
  }
  if (after.status.updated_at < before.status.updated_at ||
      after.status.created_at != before.status.created_at) {
    fail(Invariant::status_well_formed, fmt::format("{}: its times go back", id));
  }
  if (writer == Writer::service) return;
  if (!(before.spec == after.spec)) {
    fail(Invariant::nothing_acknowledged_is_lost,
         fmt::format("the control plane changed the spec of {}", id));
  }
  status_writes += 1;
  if (is_visible) status_changes += 1;
  bool is_wanted = is_visible;
  if constexpr (std::is_same_v<T, model::CapacityClaim>) {
    is_wanted |= before.status.nodes != after.status.nodes;
    check_nodes(after);
  }
  if (!is_wanted) {
    fail(Invariant::writes_are_visible, fmt::format("{} was written and nothing changed", id));
  }
  if constexpr (std::is_same_v<T, model::Deployment>) {
    if (after.status.status == Status::ready && before.status.status != Status::ready) {
      check_ready(after);
    }
  }
}

void Witness::look_at_replica(const std::string& id, std::optional<model::Replica> now) {
  if (!now) {
    replicas_.erase(id);
    draining_since_.erase(id);
    stage_.trace.note("record of replica {} is removed", id);
    for (const auto& [pid, engine] : machines_.engines()) {
      if (engine.spec.id == id) {
        fail(Invariant::no_orphans,
             fmt::format("the record of replica {} is removed, and its engine {} runs", id, pid));
      }
    }
    return;
  }
  if (now->draining && draining_since_.try_emplace(id, stage_.now()).second) {
    stage_.trace.note("replica {} drains", id);
  }
  const bool is_new = !replicas_.contains(id);
  const model::Replica& replica = replicas_.insert_or_assign(id, std::move(*now)).first->second;
  if (!is_new) return;
  stage_.trace.note("record of replica {}: {}{}{}", id, text_of(replica.parts),
                    replica.claim_id.empty() ? "" : " of claim ", replica.claim_id);
}

// After a commit that made replicas: beside as many as the maximum there are only those that they
// replace, of an earlier spec or on a node that is no longer theirs.
void Witness::check_surge(const model::Id& deployment_id) {
  const auto deployment = deployments_.find(deployment_id);
  if (deployment == deployments_.end()) return;
  std::uint32_t live = 0;
  for (const auto& [id, replica] : replicas_) {
    if (replica.deployment_id == deployment_id && !replica.draining) live += 1;
  }
  const std::uint32_t max = deployment->second.spec.autoscaling.max;
  if (live > max + largest_max_[deployment_id]) {
    fail(Invariant::surge_is_bounded,
         fmt::format("{} replicas of {}, which has at most {} and never had more than {}", live,
                     deployment_id, max, largest_max_[deployment_id]));
  }
}

void Witness::see_start(const runtime::ReplicaSpec& spec) {
  const auto record = replicas_.find(spec.id);
  if (record == replicas_.end() || record->second.parts != spec.parts) {
    fail(Invariant::record_before_process,
         fmt::format("an engine of replica {} starts, and no record says so", spec.id));
  }
  for (const auto& [pid, engine] : machines_.engines()) {
    if (engine.spec.id == spec.id) {
      fail(Invariant::one_process_per_replica,
           fmt::format("replica {} is started while its engine {} runs", spec.id, pid));
    }
    if (!is_overlapping(engine.spec.parts, spec.parts)) continue;
    fail(Invariant::gpu_held_once,
         fmt::format("replica {} is started on {}, and engine {} of replica {} holds {}", spec.id,
                     text_of(spec.parts), pid, engine.spec.id, text_of(engine.spec.parts)));
  }
}

void Witness::see_serving(const model::Id& deployment_id,
                          const std::vector<reconcile::ServingReplica>& replicas) {
  for (const reconcile::ServingReplica& replica : replicas) {
    if (!machines_.has_answered(replica.id, propagation_max)) {
      fail(Invariant::served_only_when_ready,
           fmt::format("replica {} of {} is handed to the data plane and does not answer",
                       replica.id, deployment_id));
    } else if (machines_.last_port(replica.id) != replica.port) {
      fail(Invariant::served_only_when_ready,
           fmt::format("replica {} is handed to the data plane at a port it does not listen on",
                       replica.id));
    }
  }
}

std::optional<Instant> Witness::draining_since(const model::Id& replica_id) const {
  const auto found = draining_since_.find(replica_id);
  return found == draining_since_.end() ? std::nullopt : std::optional(found->second);
}

// ---- checks

void Witness::check_step(Writer writer, const std::string& id, Status before, Status after) {
  if (is_legal(writer, before, after)) return;
  fail(Invariant::legal_steps, fmt::format("{} goes from {} to {}", id, model::status_name(before),
                                           model::status_name(after)));
}

void Witness::check_conditions(const std::string& id, const model::StatusBase& status) {
  const auto rank = [](const model::Condition& condition) {
    const auto at =
        std::find(condition_order.begin(), condition_order.end(), std::string_view(condition.type));
    return std::tuple(at - condition_order.begin(), !condition.zone.empty());
  };
  const auto& conditions = status.conditions;
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const model::Condition& condition = conditions[i];
    if (condition.message.empty() || condition.reason.empty()) {
      fail(Invariant::status_well_formed, fmt::format("{}: {} without words", id, condition.type));
    }
    if (!seen.emplace(condition.type, condition.zone).second) {
      fail(Invariant::status_well_formed, fmt::format("{}: {} twice", id, condition.type));
    }
    if (i > 0 && rank(condition) < rank(conditions[i - 1])) {
      fail(Invariant::status_well_formed,
           fmt::format("{}: {} is out of order", id, condition.type));
    }
  }
  const bool begins_well = conditions.size() >= 2 &&
                           conditions[0].type == model::condition::ready &&
                           conditions[1].type == model::condition::progressing;
  const bool is_true = begins_well && conditions[0].status == model::ConditionStatus::is_true;
  if (!begins_well || is_true != (status.status == Status::ready)) {
    fail(Invariant::status_well_formed, fmt::format("{}: the condition Ready does not go with {}",
                                                    id, model::status_name(status.status)));
  }
}

void Witness::check_ready(const model::Deployment& deployment) {
  if (deployment.spec.disabled) return;
  std::uint32_t ready_count = 0;
  for (const auto& [id, replica] : replicas_) {
    if (replica.deployment_id != deployment.spec.id) continue;
    if (!machines_.has_answered(id, propagation_max)) continue;
    const auto file = machines_.files.find(id);
    if (file != machines_.files.end() && (file->second.spec.runtime != deployment.spec.runtime ||
                                          file->second.spec.model != deployment.spec.model)) {
      continue;
    }
    ready_count += 1;
  }
  if (ready_count < deployment.spec.autoscaling.min) {
    fail(Invariant::ready_means_ready,
         fmt::format("{} is READY with {} of {} replicas answering", deployment.spec.id,
                     ready_count, deployment.spec.autoscaling.min));
  }
}

void Witness::check_nodes(const model::CapacityClaim& claim) {
  const auto& status = claim.status;
  for (const auto& [id, other] : claims_) {
    if (id == claim.spec.id) continue;
    for (const model::Id& node : other.status.nodes) {
      if (std::find(status.nodes.begin(), status.nodes.end(), node) != status.nodes.end()) {
        fail(Invariant::node_claimed_once,
             fmt::format("{} belongs to {} and to {}", node, id, claim.spec.id));
      }
    }
  }
  if (status.status == Status::deleting) return;
  const auto& wanted = claim.spec.resources;
  if (status.allocated_instances + status.pending_instances != wanted.instance_count ||
      status.allocated_instances > status.nodes.size()) {
    fail(Invariant::claim_has_its_nodes,
         fmt::format("{} has {} allocated and {} pending of {}, and {} nodes", claim.spec.id,
                     status.allocated_instances, status.pending_instances, wanted.instance_count,
                     status.nodes.size()));
    return;
  }
  if (status.status == Status::ready && status.pending_instances != 0) {
    fail(Invariant::claim_has_its_nodes, fmt::format("{} is READY and waits", claim.spec.id));
  }
  for (std::uint32_t i = 0; i < status.allocated_instances; ++i) {
    const Machine* machine = machines_.find_machine(status.nodes[i]);
    const bool is_customer = wanted.capacity_type == model::CapacityType::customer;
    const bool fits =
        machine != nullptr &&
        model::fold_instance(machine->node.instance_type) ==
            model::fold_instance(wanted.instance_id) &&
        machine->node.owner_organization ==
            (is_customer ? claim.spec.organization_id : std::string{}) &&
        std::any_of(wanted.zones.begin(), wanted.zones.end(), [&](const std::string& zone) {
          return model::fold_zone(zone) == model::fold_zone(machine->node.zone);
        });
    if (!fits) {
      fail(Invariant::claim_has_its_nodes,
           fmt::format("{} counts node {}, which is not what it asks for", claim.spec.id,
                       status.nodes[i]));
    } else if (!machines_.was_there(*machine, propagation_max) && !machines_.is_loss_in_doubt()) {
      fail(Invariant::claim_has_its_nodes,
           fmt::format("{} counts node {}, which is gone", claim.spec.id, status.nodes[i]));
    }
  }
}

}  // namespace staithe::sim
