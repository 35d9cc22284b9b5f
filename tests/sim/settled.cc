#include "sim/settled.h"

#include <algorithm>
#include <map>

namespace staithe::sim {
namespace {

using model::Status;

std::string lower(std::string text) {
  for (char& letter : text) letter = static_cast<char>(std::tolower(letter));
  return text;
}

bool is_same_word(const std::string& left, const std::string& right) {
  return lower(left) == lower(right);
}

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::any_of(words.begin(), words.end(),
                     [&word](const std::string& each) { return is_same_word(each, word); });
}

bool is_old(const Machines& machines, const model::Deployment& deployment,
            const runtime::ReplicaSpec& spec) {
  const Machine* leader = machines.find_machine(spec.parts.front().node_id);
  return leader == nullptr ||
         !is_same_word(leader->node.instance_type, deployment.spec.resources.instance_type) ||
         spec.runtime != deployment.spec.runtime || spec.model != deployment.spec.model ||
         model::count_gpus(spec.parts) != deployment.spec.resources.gpu_count;
}

std::uint32_t gpus_on(const model::Replica& replica, const model::Id& node_id) {
  for (const model::ReplicaPart& part : replica.parts) {
    if (part.node_id == node_id) return static_cast<std::uint32_t>(part.gpu_slots.size());
  }
  return 0;
}

Settled::Complaint unsettled(const model::Id& id, Status status, std::string_view why) {
  return {Invariant::settles, fmt::format("{} is {}: {}", id, model::status_name(status), why)};
}

}  // namespace

std::optional<Settled::Complaint> Settled::complaint() const {
  if (Found found = look_at_nodes()) return found;
  for (const auto& [id, claim] : witness_.claims()) {
    if (Found found = look_at_claim(claim)) return found;
  }
  for (const auto& [id, deployment] : witness_.deployments()) {
    if (Found found = look_at_deployment(deployment)) return found;
  }
  for (const auto& [id, gateway] : witness_.gateways()) {
    if (Found found = look_at_gateway(gateway)) return found;
  }
  return look_at_engines();
}

std::optional<Settled::Complaint> Settled::complaint_with_hung(std::size_t actions) const {
  std::size_t stuck_count = 0;
  bool is_any_leaving = false;
  for (const auto& [id, replica] : witness_.replicas()) {
    const auto deployment = witness_.deployments().find(replica.deployment_id);
    const bool is_hopeless = deployment != witness_.deployments().end() &&
                             is_doomed(temper_of(deployment->second.spec.model.path));
    is_any_leaving |= replica.draining;
    if (!is_hopeless && (replica.draining || engine_of(id) == nullptr)) stuck_count += 1;
  }
  if (stuck_count > actions) {
    return Complaint{
        Invariant::others_go_on,
        fmt::format("{} replicas do not go on while {} actions hang", stuck_count, actions)};
  }
  for (const auto& [id, deployment] : witness_.deployments()) {
    if (has_stuck_replica(id) || is_doomed(temper_of(deployment.spec.model.path))) continue;
    Found found = look_at_deployment(deployment);
    // Whoever is served first and held up, by its own replicas or by those whose room it gets, has
    // a claim to what is free.
    const bool may_wait = stuck_count > 0 || is_any_leaving;
    if (found && (found->invariant != Invariant::waits_for_a_reason || !may_wait)) {
      found->invariant = Invariant::others_go_on;
      return found;
    }
  }
  return std::nullopt;
}

std::size_t Settled::restless_count() const {
  const auto& all = witness_.replicas();
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [this](const auto& each) {
    const auto deployment = witness_.deployments().find(each.second.deployment_id);
    return deployment != witness_.deployments().end() &&
           is_doomed(temper_of(deployment->second.spec.model.path));
  }));
}

// ---- nodes

Settled::Found Settled::look_at_nodes() const {
  for (const auto& [id, machine] : machines_.all()) {
    const auto record = witness_.nodes().find(id);
    const bool is_known = record != witness_.nodes().end() && record->second.schedulable;
    if (machine.is_there() != is_known) {
      return Complaint{Invariant::settles, fmt::format("machine {} is {}, its record {}", id,
                                                       machine.is_there() ? "there" : "gone",
                                                       is_known ? "says it is" : "is not")};
    }
    if (record != witness_.nodes().end() && !machine.is_there() && !is_in_use(id)) {
      return Complaint{Invariant::settles,
                       fmt::format("nobody needs the record of machine {} any more", id)};
    }
  }
  return std::nullopt;
}

bool Settled::is_claimed(const model::Id& node_id) const {
  const auto& claims = witness_.claims();
  return std::any_of(claims.begin(), claims.end(), [&node_id](const auto& each) {
    const auto& nodes = each.second.status.nodes;
    return std::find(nodes.begin(), nodes.end(), node_id) != nodes.end();
  });
}

bool Settled::is_in_use(const model::Id& node_id) const {
  if (is_claimed(node_id)) return true;
  for (const auto& [id, replica] : witness_.replicas()) {
    for (const model::ReplicaPart& part : replica.parts) {
      if (part.node_id == node_id) return true;
    }
  }
  return false;
}

// ---- gateways

Settled::Found Settled::look_at_gateway(const model::Gateway& gateway) const {
  const Status status = gateway.status.status;
  if (status == Status::ready) return std::nullopt;
  return unsettled(gateway.spec.id, status, "nothing can keep a gateway from being READY or gone");
}

// ---- claims

Settled::Found Settled::look_at_claim(const model::CapacityClaim& claim) const {
  const model::ClaimStatus& status = claim.status;
  const model::Id& id = claim.spec.id;
  if (status.status == Status::deleting) {
    return unsettled(id, status.status, "its nodes could have been emptied");
  }
  if (status.status == Status::failed) return unsettled(id, status.status, "claims cannot fail");
  if (status.pending_instances == 0) {
    if (status.status != Status::ready) return unsettled(id, status.status, "it has all its nodes");
    if (status.nodes.size() != status.allocated_instances) {
      return unsettled(id, status.status, "it holds more nodes than it is allocated");
    }
    return std::nullopt;
  }
  for (const auto& [node_id, machine] : machines_.all()) {
    if (could_have_node(claim, machine)) {
      return Complaint{Invariant::waits_for_a_reason,
                       fmt::format("claim {} waits for {} instances, and node {} is free", id,
                                   status.pending_instances, node_id)};
    }
  }
  return std::nullopt;
}

bool Settled::could_have_node(const model::CapacityClaim& claim, const Machine& machine) const {
  const auto& wanted = claim.spec.resources;
  const bool is_customer = wanted.capacity_type == model::CapacityType::customer;
  const std::string owner = is_customer ? claim.spec.organization_id : std::string{};
  if (!machine.is_there() || machine.is_cordoned) return false;
  if (machine.node.owner_organization != owner) return false;
  if (!is_same_word(machine.node.instance_type, wanted.instance_id)) return false;
  if (!contains(wanted.zones, machine.node.zone)) return false;
  if (is_claimed(machine.node.id)) return false;
  for (const auto& [id, replica] : witness_.replicas()) {
    if (gpus_on(replica, machine.node.id) > 0) return false;
  }
  return true;
}

// ---- deployments

// What a deployment has.
struct Settled::Tally {
  std::size_t current = 0;
  std::size_t answering = 0;  // of the current ones
  std::size_t old = 0;
};

Settled::Found Settled::look_at_deployment(const model::Deployment& deployment) const {
  const model::Id& id = deployment.spec.id;
  const Status status = deployment.status.status;
  const bool is_hopeless = is_doomed(temper_of(deployment.spec.model.path));
  if (status == Status::deleting) return unsettled(id, status, "its replicas could have gone");

  Tally tally;
  for (const auto& [replica_id, replica] : witness_.replicas()) {
    if (replica.deployment_id != id) continue;
    if (replica.draining) {
      return unsettled(id, status, fmt::format("replica {} drains for ever", replica_id));
    }
    const auto file = machines_.files.find(replica_id);
    if (file != machines_.files.end() && is_old(machines_, deployment, file->second.spec)) {
      tally.old += 1;
      continue;
    }
    tally.current += 1;
    if (machines_.answers(replica_id)) tally.answering += 1;
    if (machines_.answers(replica_id) != data_plane_.sends_to(replica_id)) {
      return unsettled(id, status, fmt::format("the data plane is wrong about {}", replica_id));
    }
  }
  if (deployment.spec.disabled) {
    if (tally.current + tally.old > 0) return unsettled(id, status, "it is disabled and runs");
    if (status != Status::ready) return unsettled(id, status, "it is disabled, so it is READY");
    return std::nullopt;
  }
  const std::size_t min = deployment.spec.autoscaling.min;
  if (status == Status::ready) {
    if (tally.answering >= min && tally.old == 0) return std::nullopt;
    return Complaint{Invariant::ready_means_ready,
                     fmt::format("{} is READY, {} of {} answer and {} are old", id, tally.answering,
                                 min, tally.old)};
  }
  if (status == Status::failed) {
    if (!machines_.has_been_given_up(id)) {
      return unsettled(id, status, "the driver never said that it is hopeless");
    }
    if (is_hopeless && tally.current > 0) {
      return unsettled(id, status, "some of its replicas are still tried");
    }
    return std::nullopt;
  }
  if (is_hopeless && status == Status::error) return std::nullopt;
  if (is_hopeless && tally.current > 0) return unsettled(id, status, "it is hopeless");
  if (tally.current >= min) return unsettled(id, status, "all its replicas are placed");
  const std::uint32_t needed = deployment.spec.resources.gpu_count;
  // GPUs of empty machines by zone and class: one replica is of one class.
  std::map<std::pair<std::string, bool>, std::uint32_t> whole_in;
  for (const auto& [node_id, machine] : machines_.all()) {
    if (!is_meant_for(deployment, machine)) continue;
    const std::uint32_t free_count = room_on(machine, deployment);
    std::uint32_t& whole_count = whole_in[{machine.node.zone, is_claimed(node_id)}];
    if (free_count == machine.node.gpu_count) whole_count += free_count;
    const bool could_span = deployment.spec.runtime.engine == "dynamo-vllm" &&
                            needed > machine.node.gpu_count && whole_count >= needed;
    if (free_count >= needed || could_span) {
      return Complaint{Invariant::waits_for_a_reason,
                       fmt::format("{} is {} with {} of {} replicas placed, and node {} has room",
                                   id, model::status_name(status), tally.current, min, node_id)};
    }
  }
  return std::nullopt;
}

// With what its own old replicas would give up.
std::uint32_t Settled::room_on(const Machine& machine, const model::Deployment& deployment) const {
  std::uint32_t used = 0;
  for (const auto& [id, replica] : witness_.replicas()) {
    const auto file = machines_.files.find(id);
    const bool is_own_old = replica.deployment_id == deployment.spec.id &&
                            file != machines_.files.end() &&
                            is_old(machines_, deployment, file->second.spec);
    if (!is_own_old) used += gpus_on(replica, machine.node.id);
  }
  return machine.node.gpu_count - std::min(used, machine.node.gpu_count);
}

bool Settled::is_meant_for(const model::Deployment& deployment, const Machine& machine) const {
  const auto& spec = deployment.spec;
  if (!machine.is_there() || machine.is_cordoned) return false;
  if (!is_same_word(machine.node.instance_type, spec.resources.instance_type)) return false;
  for (const model::Id& gateway_id : spec.gateway_ids) {
    const auto gateway = witness_.gateways().find(gateway_id);
    if (gateway == witness_.gateways().end() || gateway->second.spec.zones.empty()) continue;
    if (!contains(gateway->second.spec.zones, machine.node.zone)) return false;
  }
  const auto& classes = spec.autoscaling.capacity_classes;
  const auto wants = [&classes](model::CapacityClass wanted) {
    return classes.empty() || std::find(classes.begin(), classes.end(), wanted) != classes.end();
  };
  for (const auto& [id, claim] : witness_.claims()) {
    const auto& nodes = claim.status.nodes;
    const auto at = std::find(nodes.begin(), nodes.end(), machine.node.id);
    if (at == nodes.end()) continue;
    return at - nodes.begin() < static_cast<std::ptrdiff_t>(claim.status.allocated_instances) &&
           claim.spec.organization_id == spec.organization_id &&
           wants(model::CapacityClass::reserved);
  }
  return machine.node.owner_organization.empty() && wants(model::CapacityClass::on_demand);
}

// ---- engines

Settled::Found Settled::look_at_engines() const {
  for (const auto& [pid, engine] : machines_.engines()) {
    const auto record = witness_.replicas().find(engine.spec.id);
    if (record == witness_.replicas().end()) {
      return Complaint{Invariant::no_orphans,
                       fmt::format("engine {} of replica {} has no record", pid, engine.spec.id)};
    }
    if (engine.phase != Engine::Phase::answering && !is_doomed(temper_of(engine.spec.model.path))) {
      return Complaint{Invariant::settles,
                       fmt::format("engine {} of replica {} does not answer", pid, engine.spec.id)};
    }
  }
  for (const auto& [id, replica] : witness_.replicas()) {
    const auto deployment = witness_.deployments().find(replica.deployment_id);
    if (deployment == witness_.deployments().end()) {
      return Complaint{Invariant::settles, fmt::format("replica {} has no deployment", id)};
    }
    const bool is_hopeless = is_doomed(temper_of(deployment->second.spec.model.path));
    if (engine_of(id) == nullptr && !is_hopeless) {
      return Complaint{Invariant::settles, fmt::format("replica {} has no engine", id)};
    }
  }
  return std::nullopt;
}

bool Settled::has_stuck_replica(const model::Id& deployment_id) const {
  for (const auto& [id, replica] : witness_.replicas()) {
    if (replica.deployment_id != deployment_id) continue;
    if (replica.draining || engine_of(id) == nullptr) return true;
  }
  return false;
}

const Engine* Settled::engine_of(const model::Id& replica_id) const {
  const auto file = machines_.files.find(replica_id);
  return file == machines_.files.end() ? nullptr : machines_.find(file->second.pid);
}

}  // namespace staithe::sim
