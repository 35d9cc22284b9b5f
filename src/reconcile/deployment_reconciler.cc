#include "reconcile/deployment_reconciler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "model/codec.h"
#include "reconcile/capacity.h"
#include "reconcile/deployment_report.h"
#include "store/records.h"

namespace staithe::reconcile {
namespace {

using runtime::ReplicaPhase;
using store::Kind;
using namespace std::chrono_literals;

constexpr Duration poll_interval_min = 5ms;
constexpr Duration poll_interval_max = 250ms;
constexpr Duration exit_poll_interval_min = 100ms;

// Often at first, then less: what happens soon is seen soon.
Duration poll_interval(Duration waited, Duration least, Duration most) {
  return std::clamp(waited / 4, least, most);
}

store::Update mark_draining(const store::Versioned<model::Replica>& known) {
  model::Replica replica = known.value;
  replica.draining = true;
  return store::update_step(replica, known.version);
}

bool is_deleting(const model::Deployment& deployment) {
  return deployment.status.status == model::Status::deleting;
}

std::vector<model::Id> old_replicas(const DeploymentView& view) {
  std::vector<model::Id> ids;
  for (const SeenReplica& replica : view.replicas) {
    const bool is_old = replica.record.spec_hash != view.spec_hash;
    if (is_old && !replica.record.draining && !replica.must_leave) ids.push_back(replica.record.id);
  }
  return ids;
}

bool has_weighted_peer(const World& world, const model::DeploymentSpec& spec) {
  for (const model::Id& id : world.deployments_of_model(spec.organization_id, spec.model.name)) {
    const model::Deployment& peer = world.find_deployment(id)->value;
    if (id == spec.id || peer.spec.disabled || is_deleting(peer) || peer.spec.traffic.weight == 0) {
      continue;
    }
    const bool shares_gateway = std::any_of(
        spec.gateway_ids.begin(), spec.gateway_ids.end(), [&peer](const model::Id& gateway) {
          return std::find(peer.spec.gateway_ids.begin(), peer.spec.gateway_ids.end(), gateway) !=
                 peer.spec.gateway_ids.end();
        });
    if (shares_gateway) return true;
  }
  return false;
}

}  // namespace

Outcome DeploymentReconciler::reconcile(const model::Id& id) {
  if (world_.is_unreadable(Kind::deployment, id)) return Outcome::settled();
  if (Result<void> asked = states_.refresh(id); !asked) return Outcome::failed(asked.error());
  const DeploymentView before = observe(id);
  const DeploymentPlan plan = plan_deployment(before);
  if (Result<void> done = write_intents(before, plan); !done) {
    return outcome_of_failed_commit(done.error());
  }
  // The data plane stops choosing what drains before it is asked whether that is idle.
  serving_.publish(id);

  Outcome outcome = Outcome::settled();
  outcome.waits_for_capacity = plan.unplaced > 0;
  start(before, plan, outcome);
  if (Result<void> done = retire(observe(id), outcome); !done) {
    return outcome_of_failed_commit(done.error());
  }
  if (Result<void> asked = states_.refresh(id); !asked) return Outcome::failed(asked.error());
  serving_.publish(id);
  const DeploymentView after = observe(id);
  watch(after, outcome);
  if (Result<void> done = report(after, plan, outcome); !done) {
    return outcome_of_failed_commit(done.error());
  }
  return outcome;
}

DeploymentView DeploymentReconciler::observe(const model::Id& id) const {
  if (const auto* deployment = world_.find_deployment(id); deployment != nullptr) {
    capacity_.set_wanted(id, scaler_.verdict(deployment->value).wanted);
    return observe(deployment->value);
  }
  // Replicas whose deployment is gone are treated as if it were going.
  model::Deployment gone;
  gone.spec.id = id;
  gone.status.status = model::Status::deleting;
  return observe(std::move(gone));
}

DeploymentView DeploymentReconciler::observe(model::Deployment deployment) const {
  DeploymentView view;
  view.deployment = std::move(deployment);
  const model::Id& id = view.deployment.spec.id;
  view.spec_hash = hash_of(view.deployment.spec);
  const Scaler::Verdict verdict = scaler_.verdict(view.deployment);
  view.wanted = verdict.wanted;
  view.is_at_max = verdict.is_at_max;
  view.is_adopting = clock_.instant() < started_at_ + options_.adoption_max;
  std::set<model::Id> lost;
  for (const model::Id& replica_id : world_.replicas_of(id)) {
    SeenReplica seen{.record = world_.find_replica(replica_id)->value};
    if (const auto* state = states_.find(id, replica_id); state != nullptr) seen.state = *state;
    const auto* node = world_.find_node(seen.record.parts.front().node_id);
    if (node != nullptr) seen.zone = model::fold_zone(node->value.zone);
    const bool can_start = capacity_.has_its_nodes(seen.record);
    seen.must_leave = capacity_.must_leave_node(seen.record) ||
                      (!can_start && !seen.is_ready() && !seen.is_starting());
    if (seen.must_leave) lost.insert(replica_id);
    view.replicas.push_back(std::move(seen));
  }
  capacity_.set_lost(id, std::move(lost));
  view.has_weighted_peer =
      view.deployment.spec.traffic.weight == 0 && has_weighted_peer(world_, view.deployment.spec);
  view.evicted = capacity_.victims_of(id);
  if (const std::uint32_t missing = count_missing(view); missing > 0) {
    view.offer = capacity_.offer(view.deployment, missing, old_replicas(view));
  }
  return view;
}

Result<void> DeploymentReconciler::write_intents(const DeploymentView& view,
                                                 const DeploymentPlan& plan) {
  store::Transaction transaction;
  for (const model::Id& id : plan.drain) {
    const auto* replica = world_.find_replica(id);
    CHECK(replica != nullptr);
    transaction.push_back(mark_draining(*replica));
  }
  if (!plan.create.empty()) {
    // What is created belongs to the spec that was looked at, or to none.
    const auto* deployment = world_.find_deployment(view.deployment.spec.id);
    CHECK(deployment != nullptr);
    transaction.push_back(
        store::Expect{Kind::deployment, view.deployment.spec.id, deployment->version});
  }
  for (model::Replica replica : plan.create) {
    replica.created_at = clock_.now();
    transaction.push_back(store::create_step(replica));
    // One of the same name may have been here before.
    draining_since_.erase(replica.id);
    retry_at_.erase(replica.id);
    actions_.forget(replica.id);
    log_.info("a replica was placed", {{"replica", replica.id},
                                       {"node", replica.parts.front().node_id},
                                       {"gpus", model::count_gpus(replica.parts)},
                                       {"claim", replica.claim_id}});
  }
  if (transaction.empty()) return {};
  TRY(store_.commit_and_wait(std::move(transaction)));
  return world_.refresh();
}

// With the spec that was planned by: the record of a replica names its hash, and a newer spec may
// have come in since.
void DeploymentReconciler::start(const DeploymentView& view, const DeploymentPlan& plan,
                                 Outcome& outcome) {
  for (const model::Id& id : plan.start) {
    const auto* replica = world_.find_replica(id);
    if (replica == nullptr || replica->value.draining || is_too_soon(replica->value)) continue;
    // An error of a start that ended meanwhile is met by the back-off before the next one.
    if (std::optional<Error> error = actions_.take_error(id)) {
      outcome.error = std::move(error);
      continue;
    }
    retry_at_[id] = clock_.instant() + options_.retry_interval;
    actions_.ensure({.id = id,
                     .deployment_id = replica->value.deployment_id,
                     .organization_id = replica->value.organization_id,
                     .parts = replica->value.parts,
                     .runtime = view.deployment.spec.runtime,
                     .model = view.deployment.spec.model,
                     .concurrency = view.deployment.spec.autoscaling.concurrency});
    if (std::optional<Error> error = actions_.take_error(id)) outcome.error = std::move(error);
  }
}

// A start that failed is news from the driver as well, which must not lead to the next one at once.
bool DeploymentReconciler::is_too_soon(const model::Replica& replica) const {
  const auto* state = states_.find(replica.deployment_id, replica.id);
  const auto retry_at = retry_at_.find(replica.id);
  if (state == nullptr || retry_at == retry_at_.end()) return false;
  const Instant now = clock_.instant();
  if (state->phase == ReplicaPhase::failed) return now < retry_at->second;
  if (state->phase != ReplicaPhase::exited) return false;
  // A try within the driver's back-off starts nothing, and its end brings us here again.
  const Instant tried_at = retry_at->second - options_.retry_interval;
  return tried_at >= state->since &&
         now < tried_at + poll_interval(now - state->since, exit_poll_interval_min,
                                        options_.retry_interval);
}

Result<void> DeploymentReconciler::retire(const DeploymentView& view, Outcome& outcome) {
  store::Transaction removals;
  for (const SeenReplica& replica : view.replicas) {
    const model::Id& id = replica.record.id;
    if (!replica.record.draining || actions_.is_under_way(id)) continue;
    if (!stop(replica, outcome)) continue;
    removals.push_back(store::Remove{Kind::replica, id, world_.find_replica(id)->version});
    draining_since_.erase(id);
    retry_at_.erase(id);
    actions_.forget(id);
    log_.info("a replica is gone",
              {{"replica", id}, {"node", replica.record.parts.front().node_id}});
  }
  if (removals.empty()) return {};
  TRY(store_.commit_and_wait(std::move(removals)));
  return world_.refresh();
}

// True when it is gone for certain.
bool DeploymentReconciler::stop(const SeenReplica& replica, Outcome& outcome) {
  const model::Id& id = replica.record.id;
  if (actions_.is_gone(id)) return true;
  if (std::optional<Error> error = actions_.take_error(id)) {
    outcome.error = std::move(error);
    return false;
  }
  if (!may_stop(replica, outcome)) return false;
  actions_.stop(replica.record.deployment_id, replica.record.parts.front().node_id, id);
  if (actions_.is_under_way(id)) return false;
  if (std::optional<Error> error = actions_.take_error(id)) {
    outcome.error = std::move(error);
  } else if (!actions_.is_gone(id)) {
    const Duration waited = clock_.instant() - draining_since_[id];
    outcome.look_again(poll_interval(waited, poll_interval_min, poll_interval_max));
  }
  return actions_.is_gone(id);
}

// Whether a draining replica's engine may be stopped: its requests are over or had their time. One
// that fails its health checks may be too busy to answer them, with streams that still run.
bool DeploymentReconciler::may_stop(const SeenReplica& replica, Outcome& outcome) {
  const Instant since =
      draining_since_.try_emplace(replica.record.id, clock_.instant()).first->second;
  const bool is_alive = replica.is_ready() || replica.is_starting();
  if (!is_alive || !hooks_.is_drained || hooks_.is_drained(replica.record.id)) {
    return true;
  }
  const Duration waited = clock_.instant() - since;
  if (waited >= options_.replica_drain_max) {
    log_.warning("a replica is stopped with requests running", {{"replica", replica.record.id}});
    return true;
  }
  outcome.look_again(std::min(poll_interval(waited, poll_interval_min, poll_interval_max),
                              options_.replica_drain_max - waited));
  return false;
}

// When to look at replicas again whose next change the driver may not tell.
void DeploymentReconciler::watch(const DeploymentView& view, Outcome& outcome) const {
  for (const SeenReplica& replica : view.replicas) {
    if (replica.record.draining || !replica.state) continue;
    switch (replica.state->phase) {
      case ReplicaPhase::starting:
      case ReplicaPhase::stopping:
        outcome.look_again(options_.starting_interval);
        break;
      case ReplicaPhase::exited:
        outcome.look_again(poll_interval(clock_.instant() - replica.state->since,
                                         exit_poll_interval_min, options_.retry_interval));
        break;
      case ReplicaPhase::failed:
        outcome.look_again(options_.retry_interval);
        break;
      case ReplicaPhase::ready:
        break;
    }
  }
}

Result<void> DeploymentReconciler::report(const DeploymentView& view, const DeploymentPlan& plan,
                                          Outcome& outcome) {
  const model::Id& id = view.deployment.spec.id;
  const auto* deployment = world_.find_deployment(id);
  if (deployment == nullptr) return {};
  if (is_deleting(view.deployment) && view.replicas.empty()) return finish(id);

  DeploymentReport report = report_deployment(view, plan);
  model::DeploymentStatus after = deployment->value.status;
  const model::Status before = after.status;
  const model::Status next = next_status(before, after.was_ready, report.facts);
  update_status(after, next, std::move(report.conditions), report.detail, clock_.now());
  if (after == deployment->value.status) return {};
  const Duration age = after.updated_at - deployment->value.status.updated_at;
  if (age < options_.rewording_interval && is_rewording(deployment->value.status, after)) {
    outcome.look_again(options_.rewording_interval - age);
    return {};
  }

  store::Transaction transaction{store::Update{.kind = Kind::deployment,
                                               .id = id,
                                               .version = deployment->version,
                                               .spec = std::nullopt,
                                               .status = model::encode(after),
                                               .keys = std::nullopt}};
  if (next == model::Status::failed && before != next) {
    for (const model::Id& replica : hopeless_replicas(view)) {
      transaction.push_back(mark_draining(*world_.find_replica(replica)));
    }
  }
  TRY(store_.commit_and_wait(std::move(transaction)));
  if (before != next) {
    log_.info("a deployment changed", {{"deployment", id},
                                       {"status", model::status_name(next)},
                                       {"why", next == model::Status::ready ? "" : report.detail}});
  }
  return {};
}

Result<void> DeploymentReconciler::finish(const model::Id& id) {
  const auto* deployment = world_.find_deployment(id);
  TRY(store_.commit_and_wait({store::Remove{Kind::deployment, id, deployment->version}}));
  log_.info("a deployment is gone", {{"deployment", id}});
  TRY(world_.refresh());
  serving_.publish(id);
  return {};
}

}  // namespace staithe::reconcile
