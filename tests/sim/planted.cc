#include "sim/planted.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "model/codec.h"
#include "reconcile/report.h"
#include "store/records.h"

namespace staithe::sim {
namespace {

using store::Kind;

constexpr std::array<std::pair<Bug, std::string_view>, 5> bugs = {{
    {Bug::oversell, "oversell"},
    {Bug::orphan, "orphan"},
    {Bug::ahead_of_truth, "ahead-of-truth"},
    {Bug::lost_wakeup, "lost-wakeup"},
    {Bug::double_start, "double-start"},
}};
constexpr double bug_chance =
    0.1;  // per opportunity: such bugs are rare, or somebody had seen them

}  // namespace

std::optional<Bug> bug_named(std::string_view name) {
  for (const auto& [bug, known] : bugs) {
    if (known == name) return bug;
  }
  return std::nullopt;
}

std::string_view name_of(Bug bug) {
  for (const auto& [known, name] : bugs) {
    if (known == bug) return name;
  }
  return "none";
}

Invariant catcher_of(Bug bug) {
  switch (bug) {
    case Bug::oversell:
      return Invariant::gpu_held_once;
    case Bug::orphan:
      return Invariant::no_orphans;
    case Bug::ahead_of_truth:
      return Invariant::ready_means_ready;
    case Bug::double_start:
      return Invariant::record_before_process;
    case Bug::lost_wakeup:
    case Bug::none:
      break;
  }
  return Invariant::settles;
}

// ---- PlantedStore

Result<std::optional<store::Record>> PlantedStore::get(Kind kind, std::string_view id) {
  return inner_.get(kind, id);
}

Result<std::vector<store::Record>> PlantedStore::list(Kind kind, std::string_view organization) {
  return inner_.list(kind, organization);
}

Result<std::optional<store::Record>> PlantedStore::find(const store::UniqueKey& key) {
  return inner_.find(key);
}

void PlantedStore::commit(store::Transaction transaction, store::CommitDone done) {
  for (store::Step& step : transaction) {
    auto* create = std::get_if<store::Create>(&step);
    if (bug_ == Bug::oversell && create != nullptr && create->kind == Kind::replica) {
      oversell(*create);
    }
    auto* update = std::get_if<store::Update>(&step);
    if (bug_ == Bug::ahead_of_truth && update != nullptr && update->kind == Kind::deployment) {
      run_ahead(*update);
    }
  }
  inner_.commit(std::move(transaction), std::move(done));
}

Result<store::Changes> PlantedStore::changes_since(std::uint64_t revision, std::size_t limit) {
  auto changes = inner_.changes_since(revision, limit);
  if (bug_ != Bug::lost_wakeup || !changes || changes->lost) return changes;
  std::erase_if(changes->changes, [this](const store::Change& change) {
    const auto deployment = witness_.deployments().find(change.id);
    return change.kind == Kind::deployment && deployment != witness_.deployments().end() &&
           deployment->second.status.generation == 1 &&
           deployment->second.status.status == model::Status::creating &&
           stage_.dice.chance(bug_chance);
  });
  return changes;
}

std::unique_ptr<store::Store::Subscription> PlantedStore::subscribe(std::function<void()> wake) {
  return inner_.subscribe(std::move(wake));
}

void PlantedStore::oversell(store::Create& step) {
  model::Replica replica;
  if (!model::decode(step.spec, replica) || !stage_.dice.chance(0.5)) return;
  for (const auto& [id, other] : witness_.replicas()) {
    const bool is_alike = std::equal(other.parts.begin(), other.parts.end(), replica.parts.begin(),
                                     replica.parts.end(), [](const auto& left, const auto& right) {
                                       return left.node_id == right.node_id &&
                                              left.gpu_slots.size() == right.gpu_slots.size();
                                     });
    if (!is_alike) continue;
    replica.parts = other.parts;
    step = store::create_step(replica);
    step.keys.clear();
    return;
  }
}

void PlantedStore::run_ahead(store::Update& step) {
  model::DeploymentStatus status;
  if (!step.status || !model::decode(*step.status, status)) return;
  const bool is_under_way =
      status.status == model::Status::creating || status.status == model::Status::updating;
  if (!is_under_way || !stage_.dice.chance(bug_chance)) return;
  reconcile::update_status(status, model::Status::ready, reconcile::aspects_of(status.conditions),
                           {}, stage_.clock.now());
  step.status = model::encode(status);
}

// ---- PlantedDriver

Result<std::vector<model::Node>> PlantedDriver::nodes() {
  return inner_.nodes();
}

Result<runtime::ReplicaState> PlantedDriver::ensure(const runtime::ReplicaSpec& spec) {
  if (bug_ == Bug::double_start && stage_.dice.chance(bug_chance)) {
    runtime::ReplicaSpec again = spec;
    again.id += "-again";
    (void)inner_.ensure(again);
  }
  return inner_.ensure(spec);
}

Result<bool> PlantedDriver::stop(const model::Id& replica_id) {
  if (bug_ == Bug::orphan && !witness_.replicas().contains(replica_id)) return true;
  return inner_.stop(replica_id);
}

Result<std::vector<runtime::ReplicaState>> PlantedDriver::list() {
  return inner_.list();
}

Result<std::vector<runtime::ReplicaState>> PlantedDriver::replicas_of(
    const model::Id& deployment_id) {
  return inner_.replicas_of(deployment_id);
}

Result<std::vector<std::string>> PlantedDriver::log_lines(const model::Id& replica_id,
                                                          std::size_t count) {
  return inner_.log_lines(replica_id, count);
}

void PlantedDriver::set_listener(std::function<void(const model::Id&)> on_change) {
  inner_.set_listener(std::move(on_change));
}

}  // namespace staithe::sim
