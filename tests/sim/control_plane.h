#pragma once

#include <memory>

#include "base/log.h"
#include "base/random.h"
#include "model/catalogue.h"
#include "model/catalogue_slot.h"
#include "reconcile/loop.h"
#include "service/claim_service.h"
#include "service/deployment_service.h"
#include "service/gateway_service.h"
#include "sim/data_plane.h"
#include "sim/disk.h"
#include "sim/life.h"
#include "sim/organization.h"
#include "sim/planted.h"
#include "sim/sim_driver.h"
#include "sim/sim_executor.h"
#include "sim/stage.h"
#include "sim/witness.h"

namespace staithe::sim {

// One process of ours, from its start to its end: the real services and the real loop on a store,
// a driver and gateways that are simulated.
class ControlPlane {
 public:
  struct Surroundings {
    Stage& stage;
    Disk& disk;
    Machines& machines;
    Witness& witness;
    Organization& organization;
    const model::Catalogue& catalogue;
    const Log& log;
    Bug bug = Bug::none;
  };

  ControlPlane(const Surroundings& surroundings, Timeline::Owner owner);
  // What it had planned will not happen.
  ~ControlPlane();
  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;

  // When the loop has something to do, as far as it knows.
  Instant due() const;
  void step();

  bool has_ended() const { return life_.is_over(); }
  void end_never() { life_.end_never(); }
  void end_after(std::uint64_t calls) { life_.end_after(calls); }
  Desk desk() { return {claims_, gateways_, deployments_}; }
  SimExecutor& executor() { return executor_; }
  const DataPlane& data_plane() const { return data_plane_; }
  std::uint64_t steps = 0;

 private:
  Stage& stage_;
  const Timeline::Owner owner_;
  Life life_;
  bool is_woken_ = true;
  Instant due_;

  SeededRandom random_;
  ServiceStore service_store_;
  const model::CatalogueSlot offered_;
  service::ClaimService claims_;
  service::GatewayService gateways_;
  service::DeploymentService deployments_;

  DataPlane data_plane_;
  LoopStore loop_store_;
  SimDriver driver_;
  SimExecutor executor_;
  PlantedStore planted_store_;
  PlantedDriver planted_driver_;
  std::unique_ptr<reconcile::Loop> loop_;
};

}  // namespace staithe::sim
