#pragma once

#include <string>
#include <vector>

#include "model/resource.h"
#include "reconcile/deployment_plan.h"
#include "reconcile/report.h"

namespace staithe::reconcile {

// What a deployment's status should say.
struct DeploymentReport {
  Facts facts;
  std::vector<model::Condition> conditions;  // all but Ready and Progressing
  std::string detail;                        // why it is not READY
};

// Reads the status off the world: `view` as it is after acting, `plan` for what found no room.
DeploymentReport report_deployment(const DeploymentView& view, const DeploymentPlan& plan);

// The replicas of the present spec that can never start; they go when the deployment turns FAILED,
// so that an update begins anew and their GPUs are free meanwhile.
std::vector<model::Id> hopeless_replicas(const DeploymentView& view);

}  // namespace staithe::reconcile
