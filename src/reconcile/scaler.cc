#include "reconcile/scaler.h"

#include <algorithm>
#include <utility>

namespace staithe::reconcile {

bool Scaler::is_scaled(const model::Deployment& deployment) const {
  return hooks_.demand && !deployment.spec.disabled &&
         deployment.spec.autoscaling.min < deployment.spec.autoscaling.max &&
         deployment.status.status != model::Status::deleting;
}

ScaleInput Scaler::input_for(const model::Deployment& deployment) const {
  ScaleInput input{.min = deployment.spec.autoscaling.min,
                   .max = deployment.spec.autoscaling.max,
                   .concurrency = concurrency_of(deployment.spec, catalogue_),
                   .demand = std::nullopt,
                   .now = clock_.instant(),
                   .wall_now = clock_.now()};
  for (const model::Id& id : world_.replicas_of(deployment.spec.id)) {
    if (world_.find_replica(id)->value.draining) continue;
    const runtime::ReplicaState* state = states_.find(deployment.spec.id, id);
    if (state == nullptr || state->phase == runtime::ReplicaPhase::starting) {
      input.starting += 1;
    } else if (state->phase == runtime::ReplicaPhase::ready) {
      input.ready += 1;
    }
  }
  return input;
}

Scaler::Verdict Scaler::verdict(const model::Deployment& deployment) const {
  const model::DeploymentAutoscaling& bounds = deployment.spec.autoscaling;
  Verdict verdict{.wanted = bounds.min,
                  .reason = {},
                  .demand = std::nullopt,
                  .target = concurrency_of(deployment.spec, catalogue_)};
  if (!is_scaled(deployment)) {
    verdict.reason = bounds.min < bounds.max ? "not scaled" : "min and max are the same";
    return verdict;
  }
  const auto state = scaled_.find(deployment.spec.id);
  if (state == scaled_.end() || state->second.wanted == 0) {
    const ScaleInput input = input_for(deployment);
    verdict.wanted = std::clamp(input.ready + input.starting, bounds.min, bounds.max);
    verdict.reason = "demand is not known yet";
    return verdict;
  }
  verdict.wanted = std::clamp(state->second.wanted, bounds.min, bounds.max);
  verdict.is_at_max = state->second.is_at_max;
  verdict.reason = state->second.reason;
  if (state->second.known_since) verdict.demand = state->second.demand;
  return verdict;
}

std::set<model::Id> Scaler::evaluate() {
  std::set<model::Id> changed;
  const Instant now = clock_.instant();
  if (now < next_look_) return changed;
  next_look_ = now + options_.interval;
  std::set<model::Id> ids = std::exchange(touched_, {});
  ids.insert(due_.begin(), due_.end());
  if (hooks_.active_deployments && !scaled_.empty()) {
    for (model::Id& id : hooks_.active_deployments()) ids.insert(std::move(id));
  }
  for (const model::Id& id : ids) {
    const auto* deployment = world_.find_deployment(id);
    if (deployment != nullptr && is_scaled(deployment->value)) {
      if (evaluate(deployment->value)) changed.insert(id);
    } else {
      scaled_.erase(id);
      due_.erase(id);
    }
  }
  return changed;
}

bool Scaler::evaluate(const model::Deployment& deployment) {
  const model::Id& id = deployment.spec.id;
  ScaleInput input = input_for(deployment);
  input.demand = hooks_.demand(id);
  ScaleState& state = scaled_[id];
  const std::uint32_t wanted_before = state.wanted;
  const bool was_at_max = state.is_at_max;
  const ScaleDecision decision = autoscale(options_, input, state);
  if (decision.look_again) {
    due_.insert(id);
  } else {
    due_.erase(id);
  }
  return decision.wanted != wanted_before || decision.is_at_max != was_at_max;
}

Instant Scaler::next_due() const {
  return scaled_.empty() && touched_.empty() ? Instant::max() : next_look_;
}

std::uint32_t concurrency_of(const model::DeploymentSpec& spec, const model::Catalogue& catalogue) {
  if (spec.autoscaling.concurrency != 0) return spec.autoscaling.concurrency;
  const auto engine = catalogue.engines.find(spec.runtime.engine);
  return engine == catalogue.engines.end() ? 0 : engine->second.default_concurrency;
}

}  // namespace staithe::reconcile
