#include "reconcile/gateway_reconciler.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "model/codec.h"
#include "reconcile/report.h"

namespace staithe::reconcile {

Outcome GatewayReconciler::reconcile(const model::Id& id) {
  const auto* gateway = world_.find_gateway(id);
  if (gateway == nullptr) return Outcome::settled();
  const bool is_deleting = gateway->value.status.status == model::Status::deleting;
  if (is_deleting && world_.deployments_at(id).empty()) return remove_when_unused(*gateway);

  model::GatewayStatus after = gateway->value.status;
  std::vector<model::Condition> conditions =
      is_deleting ? aspects_of(after.conditions) : describe(gateway->value);
  const Facts facts{.is_settled = true, .is_minimum_met = true};
  const model::Status next = next_status(after.status, after.was_ready, facts);
  update_status(after, next, std::move(conditions),
                "It goes with the last deployment that uses it.", clock_.now());
  if (after == gateway->value.status) return Outcome::settled();
  const Result<store::Commit> written =
      store_.commit_and_wait({store::Update{.kind = store::Kind::gateway,
                                            .id = id,
                                            .version = gateway->version,
                                            .spec = std::nullopt,
                                            .status = model::encode(after),
                                            .keys = std::nullopt}});
  if (!written) return outcome_of_failed_commit(written.error());
  return Outcome::settled();
}

// No new deployment can name a gateway that is being deleted, so "none" stays true.
Outcome GatewayReconciler::remove_when_unused(const store::Versioned<model::Gateway>& gateway) {
  const model::Id id = gateway.value.spec.id;
  const Result<store::Commit> removed =
      store_.commit_and_wait({store::Remove{store::Kind::gateway, id, gateway.version}});
  if (!removed) return outcome_of_failed_commit(removed.error());
  log_.info("a gateway is gone", {{"gateway", id}});
  return Outcome::settled();
}

std::vector<model::Condition> GatewayReconciler::describe(const model::Gateway& gateway) const {
  model::Condition endpoint;
  endpoint.type = model::condition::endpoint_ready;
  endpoint.status = model::ConditionStatus::is_true;
  endpoint.reason = "Listening";
  endpoint.message = gateway.status.endpoints.empty()
                         ? "The gateway is served."
                         : fmt::format("Served at {}.", gateway.status.endpoints.front());

  model::Condition auth;
  auth.type = model::condition::auth_ready;
  auth.status = model::ConditionStatus::is_true;
  auth.reason = "Configured";
  if (std::holds_alternative<model::CoreWeaveAuth>(gateway.spec.auth)) {
    auth.message = "Callers show an API access token of the organization.";
  } else if (is_wandb_configured_) {
    auth.message = "Callers show a Weights & Biases API key.";
  } else {
    auth.status = model::ConditionStatus::is_false;
    auth.reason = "ProviderUnreachable";
    auth.message =
        "Verifying Weights & Biases API keys is not configured here, so every key is refused.";
  }
  return {std::move(endpoint), std::move(auth)};
}

}  // namespace staithe::reconcile
