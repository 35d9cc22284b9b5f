#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "model/catalogue_slot.h"
#include "service/claim_service.h"
#include "service/deployment_service.h"
#include "service/errors.h"
#include "service/gateway_service.h"
#include "store/memory/memory_store.h"
#include "store/records.h"

// What the tests of this folder share.
namespace staithe::service {

// Two zones of the new kind and the old one; one type is offered in two of them, one in one.
inline model::Catalogue test_catalogue() {
  model::Catalogue catalogue;
  catalogue.zones = {"US-EAST-04A", "US-WEST-04A", "RNO2A"};
  catalogue.instance_types = {{"gb200-4x", 4}, {"gd-1xgh200", 1}};
  catalogue.zone_instance_types = {
      {"US-EAST-04A", {"gb200-4x"}}, {"US-WEST-04A", {"gb200-4x", "gd-1xgh200"}}, {"RNO2A", {}}};
  model::EngineOffer vllm;
  vllm.versions = {"0.22.0+crwv.2", "0.8.5", "0.8.4"};
  vllm.allowed_keys = {"max-model-len"};
  vllm.allowed_env_names = {"VLLM_LOGGING_LEVEL"};
  catalogue.engines["vllm"] = vllm;
  vllm.spans_nodes = true;
  catalogue.engines["dynamo-vllm"] = vllm;
  return catalogue;
}

inline pb::CreateCapacityClaimRequest claim_request(const std::string& name = "team-a") {
  pb::CreateCapacityClaimRequest request;
  request.set_name(name);
  request.mutable_resources()->set_instance_id("gb200-4x");
  request.mutable_resources()->set_instance_count(2);
  request.mutable_resources()->set_capacity_type(pb::CAPACITY_TYPE_MANAGED);
  request.mutable_resources()->add_zones("US-WEST-04A");
  request.mutable_resources()->add_zones("US-EAST-04A");
  return request;
}

inline pb::CreateGatewayRequest gateway_request(const std::string& name = "edge") {
  pb::CreateGatewayRequest request;
  request.set_name(name);
  request.mutable_core_weave_auth();
  request.mutable_body_based_routing()->set_api_type(pb::BodyBasedRouting::API_TYPE_OPENAI);
  return request;
}

inline pb::CreateDeploymentRequest deployment_request(const std::string& gateway_id,
                                                      const std::string& name = "llama-a") {
  pb::CreateDeploymentRequest request;
  request.set_name(name);
  request.add_gateway_ids(gateway_id);
  request.mutable_runtime()->set_engine("vllm");
  request.mutable_runtime()->set_version("0.8.5");
  request.mutable_resources()->set_instance_type("gb200-4x");
  request.mutable_resources()->set_gpu_count(1);
  request.mutable_model()->set_name("meta-llama/Llama-3.1-8B");
  request.mutable_model()->set_bucket("models");
  request.mutable_model()->set_path("llama-3.1-8b");
  request.mutable_autoscaling()->set_min(1);
  request.mutable_autoscaling()->set_max(4);
  request.mutable_traffic();
  return request;
}

// The update that asks for what a create asked for: the two messages share their field names.
inline pb::UpdateCapacityClaimRequest update_of(const pb::CreateCapacityClaimRequest& create,
                                                const std::string& id) {
  pb::UpdateCapacityClaimRequest update;
  update.set_id(id);
  *update.mutable_resources() = create.resources();
  return update;
}

template <typename Update, typename Create>
Update same_numbers(const Create& create, const std::string& id) {
  Update update;
  CHECK(update.ParseFromString(create.SerializeAsString()));
  update.set_id(id);
  return update;
}
inline pb::UpdateGatewayRequest update_of(const pb::CreateGatewayRequest& create,
                                          const std::string& id) {
  return same_numbers<pb::UpdateGatewayRequest>(create, id);
}
inline pb::UpdateDeploymentRequest update_of(const pb::CreateDeploymentRequest& create,
                                             const std::string& id) {
  return same_numbers<pb::UpdateDeploymentRequest>(create, id);
}

template <typename Request>
Request by_id(const std::string& id) {
  Request request;
  request.set_id(id);
  return request;
}

// Waits for the answer, whichever thread brings it.
template <typename Service, typename Request, typename Response>
Result<Response> call(Service& service,
                      void (Service::*method)(const Caller&, const Request&, Done<Response>),
                      const Caller& caller, const Request& request) {
  const auto answer = std::make_shared<std::promise<Result<Response>>>();
  std::future<Result<Response>> future = answer->get_future();
  (service.*method)(caller, request,
                    [answer](Result<Response> result) { answer->set_value(std::move(result)); });
  return future.get();
}

// The services on a store, and short names for their calls.
struct Desk {
  explicit Desk(store::Store& on_store, const Clock& on_clock, Random& on_random,
                const ServiceOptions& options = {})
      : claims(on_store, on_clock, on_random, catalogue, options),
        gateways(on_store, on_clock, on_random, catalogue, options),
        deployments(on_store, on_clock, on_random, catalogue, options) {}

  Caller caller{.principal = {.organization = "cw1a2b",
                              .role = auth::Role::admin,
                              .token_id = "t1",
                              .token_name = "test"},
                .spelling = Spelling::rest};
  model::CatalogueSlot catalogue{test_catalogue()};
  ClaimService claims;
  GatewayService gateways;
  DeploymentService deployments;

  auto create(const pb::CreateCapacityClaimRequest& request) {
    return call(claims, &ClaimService::create, caller, request);
  }
  auto create(const pb::CreateGatewayRequest& request) {
    return call(gateways, &GatewayService::create, caller, request);
  }
  auto create(const pb::CreateDeploymentRequest& request) {
    return call(deployments, &DeploymentService::create, caller, request);
  }
  auto update(const pb::UpdateCapacityClaimRequest& request) {
    return call(claims, &ClaimService::update, caller, request);
  }
  auto update(const pb::UpdateGatewayRequest& request) {
    return call(gateways, &GatewayService::update, caller, request);
  }
  auto update(const pb::UpdateDeploymentRequest& request) {
    return call(deployments, &DeploymentService::update, caller, request);
  }
  auto get_claim(const std::string& id) {
    return call(claims, &ClaimService::get, caller, by_id<pb::GetCapacityClaimRequest>(id));
  }
  auto get_gateway(const std::string& id) {
    return call(gateways, &GatewayService::get, caller, by_id<pb::GetGatewayRequest>(id));
  }
  auto get_deployment(const std::string& id) {
    return call(deployments, &DeploymentService::get, caller, by_id<pb::GetDeploymentRequest>(id));
  }
  auto remove_claim(const std::string& id) {
    return call(claims, &ClaimService::remove, caller, by_id<pb::DeleteCapacityClaimRequest>(id));
  }
  auto remove_gateway(const std::string& id) {
    return call(gateways, &GatewayService::remove, caller, by_id<pb::DeleteGatewayRequest>(id));
  }
  auto remove_deployment(const std::string& id) {
    return call(deployments, &DeploymentService::remove, caller,
                by_id<pb::DeleteDeploymentRequest>(id));
  }
};

// A desk on a memory store with everything under the test's control.
class ServiceTest : public testing::Test {
 protected:
  store::MemoryStore store_;
  FakeClock clock_;
  SeededRandom random_{1};
  Desk desk_{store_, clock_, random_, options()};

  static ServiceOptions options() {
    ServiceOptions options;
    options.endpoints.base_url = "http://127.0.0.1:8080";
    return options;
  }

  std::string a_gateway(const std::string& name = "edge",
                        const std::vector<std::string>& zones = {}) {
    pb::CreateGatewayRequest request = gateway_request(name);
    for (const std::string& zone : zones) request.add_zones(zone);
    return desk_.create(request)->gateway().spec().id();
  }
  std::string a_deployment(const std::string& gateway_id, const std::string& name = "llama-a") {
    return desk_.create(deployment_request(gateway_id, name))->deployment().spec().id();
  }

  // Does what a reconciler does to a status.
  void set_status(store::Kind kind, const std::string& id, model::Status status) {
    const auto change = [&](auto resource) {
      CHECK(resource.has_value() && resource->has_value());
      auto value = (*resource)->value;
      value.status.status = status;
      value.status.was_ready = value.status.was_ready || status == model::Status::ready;
      CHECK(store_.commit_and_wait({store::update_step(value, (*resource)->version)}).has_value());
    };
    if (kind == store::Kind::claim) change(store::get_claim(store_, id));
    if (kind == store::Kind::gateway) change(store::get_gateway(store_, id));
    if (kind == store::Kind::deployment) change(store::get_deployment(store_, id));
  }

  void forget(store::Kind kind, const std::string& id) {
    const auto record = store_.get(kind, id);
    CHECK(record.has_value() && record->has_value());
    CHECK(store_.commit_and_wait({store::Remove{kind, id, (*record)->version}}).has_value());
  }
};

// A list of "field: description", so that a whole list of violations is one comparison.
inline std::vector<std::string> violations_of(const Result<void>& result) {
  std::vector<std::string> lines;
  if (result) return lines;
  for (const FieldViolation& violation : result.error().violations) {
    lines.push_back(violation.field + ": " + violation.description);
  }
  return lines;
}

}  // namespace staithe::service
