#pragma once

#include "model/capacity_claim.h"
#include "model/deployment.h"
#include "model/explanation.h"
#include "service/caller.h"

namespace staithe::service {

// Questions to the control plane, which alone knows why it did what it did. Asking changes nothing.
//
// Any thread may ask. Answers come on the control plane's thread or before the call returns, so
// `done` must be quick. Who may ask is settled before. A resource the control plane has not seen
// yet, and anything it cannot tell now (it is starting, stopping, or its store does not answer), is
// UNAVAILABLE.
class ControlPlane {
 public:
  virtual ~ControlPlane() = default;

  virtual void explain(const model::Id& deployment_id, Done<model::Explanation> done) = 0;

  // What would come of `wanted`, which is valid and has an id: an update if that exists, else a
  // creation. Of its status only the creation time counts.
  virtual void plan(model::Deployment wanted, Done<model::PlanPreview> done) = 0;
  virtual void plan(model::CapacityClaim wanted, Done<model::PlanPreview> done) = 0;
};

}  // namespace staithe::service
