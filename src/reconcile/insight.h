#pragma once

#include <optional>

#include "base/clock.h"
#include "base/result.h"
#include "model/capacity_claim.h"
#include "model/deployment.h"
#include "model/explanation.h"
#include "reconcile/claim_plan.h"
#include "reconcile/deployment_plan.h"
#include "reconcile/world.h"

// Decisions in words. Pure functions of what the reconcilers look at themselves, so that what is
// said is what is done.
namespace staithe::reconcile {

// What stands behind a number of replicas.
struct ScaleView {
  std::string reason;  // the autoscaler's
  std::optional<double> demand;
  std::uint32_t target = 0;
};

// Why a deployment has the replicas it has. `now` and `wall_now` are the same moment.
model::Explanation explain_deployment(const World& world, const DeploymentView& view,
                                      const DeploymentPlan& plan, const ScaleView& scale,
                                      Instant now, Timestamp wall_now);

// What `plan` means for a deployment that is not stored like this yet. `before` is what is stored,
// null for a new one.
model::PlanPreview preview_deployment(const World& world, const model::Deployment* before,
                                      const DeploymentView& view, const DeploymentPlan& plan);

// The same for a claim; `before` as above.
model::PlanPreview preview_claim(const World& world, const model::CapacityClaim* before,
                                 const model::CapacityClaim& wanted, const ClaimPlan& plan);

}  // namespace staithe::reconcile
