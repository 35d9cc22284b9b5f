#pragma once

#include <string>
#include <vector>

#include "coreweave/inference/v1alpha1/deployment.pb.h"
#include "model/catalogue.h"
#include "service/claim_service.h"
#include "service/deployment_service.h"
#include "service/gateway_service.h"
#include "sim/machines.h"
#include "sim/stage.h"
#include "sim/witness.h"

namespace staithe::sim {

namespace pb = ::coreweave::inference::v1alpha1;

// The services of one process of ours.
struct Desk {
  service::ClaimService& claims;
  service::GatewayService& gateways;
  service::DeploymentService& deployments;
};

// What is offered for sale.
model::Catalogue make_catalogue();
// A machine that fits it.
model::Node draw_node(Dice& dice, std::uint64_t number);

// People who call the API: creates, updates and deletes of all kinds, some of them nonsense.
class Organization {
 public:
  Organization(Stage& stage, const Witness& witness) : stage_(stage), witness_(witness) {}

  // Some call or other.
  void call(Desk desk);
  // A small change of one resource.
  void change(Desk desk, store::Kind kind, const model::Id& id);
  // Everything goes; what cannot go yet is asked for again by the next call.
  void remove_all(Desk desk);

 private:
  void create_claim(Desk desk);
  void create_gateway(Desk desk);
  void create_deployment(Desk desk);
  void update_claim(Desk desk, const model::Id& id);
  void update_gateway(Desk desk, const model::Id& id);
  void update_deployment(Desk desk, const model::Id& id);
  void remove(Desk desk, store::Kind kind, const model::Id& id);
  void call_nonsense(Desk desk);

  service::Caller caller(const std::string& organization) const;
  template <typename Response>
  service::Done<Response> expect_sense(std::string what) const;
  template <typename Response>
  service::Done<Response> expect_refusal(std::string what) const;
  template <typename T>
  const T* pick(const std::map<model::Id, T>& from) const;

  std::string name(std::string_view stem) const;
  pb::DeploymentAutoscaling draw_autoscaling() const;
  void draw_model(pb::DeploymentModel& model) const;
  void draw_resources(pb::DeploymentResources& resources) const;

  Stage& stage_;
  const Witness& witness_;
};

}  // namespace staithe::sim
