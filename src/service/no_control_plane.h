#pragma once

#include "service/control_plane.h"
#include "service/errors.h"

namespace staithe::service {

// Where no control plane runs: it cannot tell anything.
class NoControlPlane final : public ControlPlane {
 public:
  void explain(const model::Id&, Done<model::Explanation> done) override {
    done(errors::control_plane_unavailable());
  }
  void plan(model::Deployment, Done<model::PlanPreview> done) override {
    done(errors::control_plane_unavailable());
  }
  void plan(model::CapacityClaim, Done<model::PlanPreview> done) override {
    done(errors::control_plane_unavailable());
  }
};

}  // namespace staithe::service
