#include "reconcile/claim_reconciler.h"

#include <utility>

#include "model/codec.h"
#include "reconcile/capacity.h"
#include "reconcile/claim_plan.h"
#include "reconcile/report.h"
#include "store/records.h"

namespace staithe::reconcile {

Outcome ClaimReconciler::reconcile(const model::Id& id) {
  const auto* claim = world_.find_claim(id);
  if (claim == nullptr) return Outcome::settled();
  ClaimPlan plan = plan_claim(capacity_.view_of(claim->value));
  Outcome outcome = Outcome::settled();
  outcome.waits_for_capacity = plan.pending > 0;

  if (plan.is_gone) {
    const Result<store::Commit> removed =
        store_.commit_and_wait({store::Remove{store::Kind::claim, id, claim->version}});
    if (!removed) return outcome_of_failed_commit(removed.error());
    log_.info("a capacity claim is gone", {{"claim", id}, {"released", plan.release.size()}});
    return outcome;
  }

  model::CapacityClaim after = claim->value;
  after.status.nodes = std::move(plan.nodes);
  if (after.status.status == model::Status::deleting) {
    // What was allocated is going; the conditions keep what was last true.
    plan.conditions = aspects_of(after.status.conditions);
  }
  after.status.allocated_instances = plan.allocated;
  after.status.pending_instances = plan.pending;
  const model::Status next = next_status(after.status.status, after.status.was_ready, plan.facts);
  const bool is_count_changed =
      after.status.allocated_instances != claim->value.status.allocated_instances ||
      after.status.pending_instances != claim->value.status.pending_instances;
  const std::string detail = explain(plan.conditions, "Nodes are being emptied.");
  const bool is_visible =
      update_status(after.status, next, std::move(plan.conditions), detail, clock_.now());
  if (is_count_changed && !is_visible) {
    after.status.updated_at = model::next_updated_at(after.status.updated_at, clock_.now());
  }
  if (after.status == claim->value.status) return outcome;

  const Result<store::Commit> written =
      store_.commit_and_wait({store::Update{.kind = store::Kind::claim,
                                            .id = id,
                                            .version = claim->version,
                                            .spec = std::nullopt,
                                            .status = model::encode(after.status),
                                            .keys = store::keys_of(after)}});
  if (!written) return outcome_of_failed_commit(written.error());
  log_.info("a capacity claim was planned", {{"claim", id},
                                             {"status", model::status_name(next)},
                                             {"allocated", plan.allocated},
                                             {"pending", plan.pending},
                                             {"reserved", plan.reserve.size()},
                                             {"released", plan.release.size()}});
  return outcome;
}

}  // namespace staithe::reconcile
