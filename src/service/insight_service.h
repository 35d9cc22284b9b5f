#pragma once

#include "service/caller.h"
#include "service/claim_service.h"
#include "service/control_plane.h"
#include "service/deployment_service.h"
#include "staithe/v1/insight.pb.h"
#include "store/store.h"

namespace staithe::service {

// Why a deployment stands where it stands, and what a change would do. Writes nothing; a change
// that would be refused is refused by the same code, with the same error.
//
// Any thread; calls block for the store and answer on the control plane's thread. What it is made
// from outlives it.
class InsightService {
 public:
  InsightService(store::Store& store, DeploymentService& deployments, ClaimService& claims,
                 ControlPlane& control_plane)
      : store_(store), deployments_(deployments), claims_(claims), control_plane_(control_plane) {}

  void explain(const Caller& caller, const staithe::v1::ExplainDeploymentRequest& request,
               Done<staithe::v1::ExplainDeploymentResponse> done);
  void plan_deployment(const Caller& caller, const staithe::v1::PlanDeploymentRequest& request,
                       Done<staithe::v1::PlanDeploymentResponse> done);
  void plan_claim(const Caller& caller, const staithe::v1::PlanCapacityClaimRequest& request,
                  Done<staithe::v1::PlanCapacityClaimResponse> done);

 private:
  store::Store& store_;
  DeploymentService& deployments_;
  ClaimService& claims_;
  ControlPlane& control_plane_;
};

}  // namespace staithe::service
