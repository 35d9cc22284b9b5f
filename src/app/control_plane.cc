#include "app/control_plane.h"

#include <utility>

#include "service/errors.h"

namespace staithe::app {

using service::errors::control_plane_unavailable;

void ControlPlane::attach(reconcile::Loop* loop) {
  const std::lock_guard lock(mutex_);
  loop_ = loop;
}

template <typename Answer, typename Work>
void ControlPlane::ask(service::Done<Answer> done, Work work) {
  const std::lock_guard lock(mutex_);
  if (loop_ == nullptr) return done(control_plane_unavailable());
  loop_->ask([done = std::move(done), work = std::move(work)](reconcile::Loop* loop) {
    if (loop == nullptr) return done(control_plane_unavailable());
    Result<Answer> answer = work(*loop);
    // What the loop has not heard of yet it will hear of: whether it exists was asked before.
    if (!answer) return done(control_plane_unavailable());
    done(std::move(answer));
  });
}

void ControlPlane::explain(const model::Id& deployment_id, service::Done<model::Explanation> done) {
  ask(std::move(done),
      [deployment_id](reconcile::Loop& loop) { return loop.explain(deployment_id); });
}

void ControlPlane::plan(model::Deployment wanted, service::Done<model::PlanPreview> done) {
  ask(std::move(done),
      [wanted = std::move(wanted)](reconcile::Loop& loop) { return loop.preview(wanted); });
}

void ControlPlane::plan(model::CapacityClaim wanted, service::Done<model::PlanPreview> done) {
  ask(std::move(done),
      [wanted = std::move(wanted)](reconcile::Loop& loop) { return loop.preview(wanted); });
}

}  // namespace staithe::app
