#pragma once

#include <memory>
#include <mutex>

#include "reconcile/loop.h"
#include "service/control_plane.h"

namespace staithe::app {

// Takes questions of the services to the reconcile loop. Services are born before the loop is, and
// outlive it: whoever asks before or after gets UNAVAILABLE. Any thread.
class ControlPlane final : public service::ControlPlane {
 public:
  // Null: there is no loop any more. Waits for a question that is being handed over.
  void attach(reconcile::Loop* loop);

  void explain(const model::Id& deployment_id, service::Done<model::Explanation> done) override;
  void plan(model::Deployment wanted, service::Done<model::PlanPreview> done) override;
  void plan(model::CapacityClaim wanted, service::Done<model::PlanPreview> done) override;

 private:
  template <typename Answer, typename Work>
  void ask(service::Done<Answer> done, Work work);

  std::mutex mutex_;  // guards loop_
  reconcile::Loop* loop_ = nullptr;
};

}  // namespace staithe::app
