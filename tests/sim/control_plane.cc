#include "sim/control_plane.h"

#include <utility>

namespace staithe::sim {
namespace {

using namespace std::chrono_literals;

service::ServiceOptions service_options() {
  service::ServiceOptions options;
  options.endpoints.base_url = "http://127.0.0.1:8080";
  return options;
}

}  // namespace

ControlPlane::ControlPlane(const Surroundings& with, Timeline::Owner owner)
    : stage_(with.stage),
      owner_(owner),
      random_(with.stage.dice.random().next()),
      service_store_(with.stage, owner, life_, with.disk),
      offered_(with.catalogue),
      claims_(service_store_, with.stage.clock, random_, offered_, service_options()),
      gateways_(service_store_, with.stage.clock, random_, offered_, service_options()),
      deployments_(service_store_, with.stage.clock, random_, offered_, service_options()),
      data_plane_(with.stage, owner, life_, with.witness),
      loop_store_(with.stage, owner, life_, with.disk, [this] { is_woken_ = true; }),
      driver_(
          with.stage, owner, life_, with.machines,
          [this](const model::Id& id) { return data_plane_.would_cut(id); },
          [this] { is_woken_ = true; }),
      executor_(with.stage, owner, [this] { is_woken_ = true; }),
      planted_store_(loop_store_, with.bug, with.stage, with.witness),
      planted_driver_(driver_, with.bug, with.stage, with.witness) {
  loop_store_.meddle = [this, &organization = with.organization](store::Kind kind,
                                                                 const std::string& id) {
    service_store_.flush();
    organization.change(desk(), kind, id);
    service_store_.flush();
  };
  loop_ = std::make_unique<reconcile::Loop>(
      stage_.clock, random_, with.log, planted_store_, planted_driver_, executor_, with.catalogue,
      reconcile::LoopOptions{},
      reconcile::Hooks{
          .on_serving =
              [this](const model::Id& id, std::vector<reconcile::ServingReplica> replicas) {
                data_plane_.take(id, std::move(replicas));
              },
          .is_drained = [this](const model::Id& id) { return data_plane_.is_drained(id); }});
}

ControlPlane::~ControlPlane() {
  stage_.timeline.forget(owner_);
  life_.end_after(0);
  (void)life_.goes_on();
  service_store_.abandon();
}

Instant ControlPlane::due() const {
  return is_woken_ ? stage_.now() : due_;
}

void ControlPlane::step() {
  is_woken_ = false;
  steps += 1;
  due_ = loop_->step();
  // A turn of the loop takes time.
  stage_.clock.advance(stage_.dice.between(Duration{20us}, Duration{200us}));
}

}  // namespace staithe::sim
