#include "sim/organization.h"

#include <algorithm>
#include <utility>

namespace staithe::sim {
namespace {

using store::Kind;

const std::vector<std::string> zones = {"US-EAST-04A", "US-WEST-04A", "RNO2A"};
const std::vector<std::string> versions = {"0.22.0+crwv.2", "0.8.5", "0.8.4"};
const std::vector<model::InstanceType> instance_types = {
    {"gb200-4x", 4}, {"gd-1xgh200", 1}, {"gd-8xh100ib-i128", 8}};
const std::vector<std::string> organizations = {"cw1a2b", "cw3c4d"};
constexpr std::size_t deployments_max = 12;
constexpr std::size_t claims_max = 6;
constexpr std::size_t gateways_max = 4;

std::size_t draw_type(Dice& dice) {
  const std::uint64_t die = dice.between(0, 9);
  return die < 6 ? 0 : die < 8 ? 1 : 2;
}

std::vector<std::string> draw_zones(Dice& dice) {
  std::vector<std::string> drawn = zones;
  for (std::size_t i = drawn.size(); i > 1; --i)
    std::swap(drawn[i - 1], drawn[dice.between(0, i - 1)]);
  drawn.resize(dice.between(1, drawn.size()));
  return drawn;
}

Temper draw_temper(Dice& dice) {
  const std::uint64_t die = dice.between(0, 99);
  if (die < 55) return Temper::steady;
  if (die < 65) return Temper::slow;
  if (die < 75) return Temper::stubborn;
  if (die < 85) return Temper::absent;
  if (die < 91) return Temper::cursed;
  if (die < 94) return Temper::silent;
  return Temper::refused;
}

// A refusal that a caller can do something about.
bool is_sensible(const Error& error) {
  switch (error.code) {
    case Code::invalid_argument:
    case Code::not_found:
    case Code::already_exists:
    case Code::failed_precondition:
    case Code::resource_exhausted:
    case Code::aborted:
    case Code::unavailable:
      return true;
    default:
      return false;
  }
}

}  // namespace

model::Catalogue make_catalogue() {
  model::Catalogue catalogue;
  catalogue.zones = zones;
  catalogue.instance_types = instance_types;
  for (const std::string& zone : zones) {
    for (const model::InstanceType& type : instance_types) {
      catalogue.zone_instance_types[zone].push_back(type.id);
    }
  }
  model::EngineOffer vllm;
  vllm.versions = versions;
  vllm.allowed_keys = {"max-model-len"};
  catalogue.engines["vllm"] = vllm;
  vllm.spans_nodes = true;
  catalogue.engines["dynamo-vllm"] = vllm;
  return catalogue;
}

model::Node draw_node(Dice& dice, std::uint64_t number) {
  const model::InstanceType& type = instance_types[draw_type(dice)];
  model::Node node{.id = fmt::format("node-{:02}", number),
                   .zone = dice.pick(zones),
                   .instance_type = type.id,
                   .gpu_count = type.gpu_count,
                   .owner_organization = {}};
  if (dice.chance(0.15)) node.owner_organization = organizations.front();
  return node;
}

void Organization::call(Desk desk) {
  stage_.counters.count("call");
  const std::uint64_t die = stage_.dice.between(0, 99);
  if (witness_.gateways().empty() || die < 5) return create_gateway(desk);
  if (die < 12) return create_claim(desk);
  if (die < 40) return create_deployment(desk);
  if (die < 48) {
    if (const auto* claim = pick(witness_.claims())) update_claim(desk, claim->spec.id);
  } else if (die < 52) {
    if (const auto* gateway = pick(witness_.gateways())) update_gateway(desk, gateway->spec.id);
  } else if (die < 80) {
    if (const auto* found = pick(witness_.deployments())) update_deployment(desk, found->spec.id);
  } else if (die < 88) {
    if (const auto* found = pick(witness_.deployments())) {
      remove(desk, Kind::deployment, found->spec.id);
    }
  } else if (die < 91) {
    if (const auto* found = pick(witness_.claims())) remove(desk, Kind::claim, found->spec.id);
  } else if (die < 93) {
    if (const auto* found = pick(witness_.gateways())) remove(desk, Kind::gateway, found->spec.id);
  } else {
    call_nonsense(desk);
  }
}

void Organization::change(Desk desk, Kind kind, const model::Id& id) {
  if (kind == Kind::claim && witness_.claims().contains(id)) update_claim(desk, id);
  if (kind == Kind::gateway && witness_.gateways().contains(id)) update_gateway(desk, id);
  if (kind == Kind::deployment && witness_.deployments().contains(id)) update_deployment(desk, id);
  if (kind == Kind::replica) {
    const auto replica = witness_.replicas().find(id);
    if (replica == witness_.replicas().end()) return;
    const model::Id& deployment_id = replica->second.deployment_id;
    if (witness_.deployments().contains(deployment_id)) update_deployment(desk, deployment_id);
  }
}

void Organization::remove_all(Desk desk) {
  // Calls change what is being walked over.
  std::vector<std::pair<Kind, model::Id>> all;
  for (const auto& [id, deployment] : witness_.deployments())
    all.emplace_back(Kind::deployment, id);
  for (const auto& [id, claim] : witness_.claims()) all.emplace_back(Kind::claim, id);
  for (const auto& [id, gateway] : witness_.gateways()) all.emplace_back(Kind::gateway, id);
  for (const auto& [kind, id] : all) remove(desk, kind, id);
}

// ---- creates

void Organization::create_claim(Desk desk) {
  if (witness_.claims().size() >= claims_max) return;
  Dice& dice = stage_.dice;
  pb::CreateCapacityClaimRequest request;
  request.set_name(name("claim"));
  auto& resources = *request.mutable_resources();
  resources.set_instance_id(instance_types[draw_type(dice)].id);
  resources.set_instance_count(static_cast<std::uint32_t>(dice.between(1, 4)));
  resources.set_capacity_type(dice.chance(0.2) ? pb::CAPACITY_TYPE_CUSTOMER
                                               : pb::CAPACITY_TYPE_MANAGED);
  for (const std::string& zone : draw_zones(dice)) resources.add_zones(zone);
  desk.claims.create(caller(dice.pick(organizations)), request,
                     expect_sense<pb::CreateCapacityClaimResponse>("create of a claim"));
}

void Organization::create_gateway(Desk desk) {
  if (witness_.gateways().size() >= gateways_max) return;
  pb::CreateGatewayRequest request;
  request.set_name(name("edge"));
  request.mutable_core_weave_auth();
  request.mutable_body_based_routing()->set_api_type(pb::BodyBasedRouting::API_TYPE_OPENAI);
  if (stage_.dice.chance(0.4)) {
    for (const std::string& zone : draw_zones(stage_.dice)) request.add_zones(zone);
  }
  // Most of what happens is of one organization.
  const std::string& organization = organizations[stage_.dice.chance(0.8) ? 0 : 1];
  desk.gateways.create(caller(organization), request,
                       expect_sense<pb::CreateGatewayResponse>("create of a gateway"));
}

void Organization::create_deployment(Desk desk) {
  if (witness_.deployments().size() >= deployments_max) return;
  const auto* gateway = pick(witness_.gateways());
  if (gateway == nullptr) return;
  Dice& dice = stage_.dice;
  pb::CreateDeploymentRequest request;
  request.set_name(name("app"));
  request.add_gateway_ids(gateway->spec.id);
  if (dice.chance(0.2)) {
    const auto* other = pick(witness_.gateways());
    if (other->spec.id != gateway->spec.id) request.add_gateway_ids(other->spec.id);
  }
  request.mutable_runtime()->set_version(dice.pick(versions));
  draw_resources(*request.mutable_resources());
  // Twice an instance's GPUs: two instances together.
  const bool is_wide = dice.chance(0.1);
  request.mutable_runtime()->set_engine(is_wide ? "dynamo-vllm" : "vllm");
  if (is_wide) {
    for (const model::InstanceType& type : instance_types) {
      if (type.id != request.resources().instance_type()) continue;
      request.mutable_resources()->set_gpu_count(2 * type.gpu_count);
    }
  }
  draw_model(*request.mutable_model());
  *request.mutable_autoscaling() = draw_autoscaling();
  request.mutable_traffic()->set_weight(static_cast<std::uint32_t>(dice.between(0, 2) * 50));
  request.set_disabled(dice.chance(0.1));
  desk.deployments.create(caller(gateway->spec.organization_id), request,
                          expect_sense<pb::CreateDeploymentResponse>("create of a deployment"));
}

// ---- updates

void Organization::update_claim(Desk desk, const model::Id& id) {
  const model::ClaimSpec& spec = witness_.claims().at(id).spec;
  Dice& dice = stage_.dice;
  pb::UpdateCapacityClaimRequest request;
  request.set_id(id);
  auto& resources = *request.mutable_resources();
  resources.set_instance_id(spec.resources.instance_id);
  resources.set_instance_count(static_cast<std::uint32_t>(dice.between(1, 4)));
  resources.set_capacity_type(spec.resources.capacity_type == model::CapacityType::customer
                                  ? pb::CAPACITY_TYPE_CUSTOMER
                                  : pb::CAPACITY_TYPE_MANAGED);
  std::vector<std::string> wanted = spec.resources.zones;
  if (dice.chance(0.3)) wanted = draw_zones(dice);
  for (const std::string& zone : wanted) resources.add_zones(zone);
  desk.claims.update(caller(spec.organization_id), request,
                     expect_sense<pb::UpdateCapacityClaimResponse>("update of a claim"));
}

void Organization::update_gateway(Desk desk, const model::Id& id) {
  const model::GatewaySpec& spec = witness_.gateways().at(id).spec;
  pb::UpdateGatewayRequest request;
  request.set_id(id);
  request.set_name(stage_.dice.chance(0.5) ? name("edge") : spec.name);
  request.mutable_core_weave_auth();
  request.mutable_body_based_routing()->set_api_type(pb::BodyBasedRouting::API_TYPE_OPENAI);
  if (stage_.dice.chance(0.5)) {
    for (const std::string& zone : draw_zones(stage_.dice)) request.add_zones(zone);
  }
  desk.gateways.update(caller(spec.organization_id), request,
                       expect_sense<pb::UpdateGatewayResponse>("update of a gateway"));
}

void Organization::update_deployment(Desk desk, const model::Id& id) {
  const model::DeploymentSpec& spec = witness_.deployments().at(id).spec;
  Dice& dice = stage_.dice;
  pb::UpdateDeploymentRequest request;
  request.set_id(id);
  request.set_name(spec.name);
  for (const model::Id& gateway : spec.gateway_ids) request.add_gateway_ids(gateway);
  request.mutable_runtime()->set_engine(spec.runtime.engine);
  request.mutable_runtime()->set_version(spec.runtime.version);
  request.mutable_resources()->set_instance_type(spec.resources.instance_type);
  request.mutable_resources()->set_gpu_count(spec.resources.gpu_count);
  request.mutable_model()->set_name(spec.model.name);
  request.mutable_model()->set_bucket(spec.model.bucket);
  request.mutable_model()->set_path(spec.model.path);
  auto& scaling = *request.mutable_autoscaling();
  scaling.set_min(spec.autoscaling.min);
  scaling.set_max(spec.autoscaling.max);
  scaling.set_priority(spec.autoscaling.priority);
  scaling.set_concurrency(spec.autoscaling.concurrency);
  for (const model::CapacityClass each : spec.autoscaling.capacity_classes) {
    scaling.add_capacity_classes(each == model::CapacityClass::reserved
                                     ? pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED
                                     : pb::DeploymentAutoscaling::CAPACITY_CLASS_ON_DEMAND);
  }
  request.mutable_traffic()->set_weight(spec.traffic.weight);
  request.set_disabled(spec.disabled);

  switch (dice.between(0, 7)) {
    case 0:
      scaling = draw_autoscaling();
      break;
    case 1:
      request.mutable_runtime()->set_version(dice.pick(versions));
      break;
    case 2:
      draw_model(*request.mutable_model());
      break;
    case 3:
      draw_resources(*request.mutable_resources());
      break;
    case 4:
      request.mutable_traffic()->set_weight(static_cast<std::uint32_t>(dice.between(0, 100)));
      break;
    case 5:
      request.set_disabled(!spec.disabled);
      break;
    case 6:
      if (const auto* gateway = pick(witness_.gateways())) {
        request.clear_gateway_ids();
        request.add_gateway_ids(gateway->spec.id);
      }
      break;
    default:
      scaling = draw_autoscaling();
      draw_model(*request.mutable_model());
      break;
  }
  desk.deployments.update(caller(spec.organization_id), request,
                          expect_sense<pb::UpdateDeploymentResponse>("update of a deployment"));
}

void Organization::remove(Desk desk, Kind kind, const model::Id& id) {
  if (kind == Kind::claim) {
    pb::DeleteCapacityClaimRequest request;
    request.set_id(id);
    const auto owner = caller(witness_.claims().at(id).spec.organization_id);
    desk.claims.remove(owner, request,
                       expect_sense<pb::DeleteCapacityClaimResponse>("delete of a claim"));
  } else if (kind == Kind::gateway) {
    pb::DeleteGatewayRequest request;
    request.set_id(id);
    const auto owner = caller(witness_.gateways().at(id).spec.organization_id);
    desk.gateways.remove(owner, request,
                         expect_sense<pb::DeleteGatewayResponse>("delete of a gateway"));
  } else {
    pb::DeleteDeploymentRequest request;
    request.set_id(id);
    const auto owner = caller(witness_.deployments().at(id).spec.organization_id);
    desk.deployments.remove(owner, request,
                            expect_sense<pb::DeleteDeploymentResponse>("delete of a deployment"));
  }
}

// ---- nonsense

void Organization::call_nonsense(Desk desk) {
  stage_.counters.count("nonsense call");
  Dice& dice = stage_.dice;
  const auto owner = caller(organizations.front());
  if (dice.chance(0.3)) {
    pb::CreateCapacityClaimRequest request;
    request.set_name("claim-of-nothing");
    request.mutable_resources()->set_instance_id("gb200-4x");
    request.mutable_resources()->set_instance_count(dice.chance(0.5) ? 0 : 2);
    request.mutable_resources()->set_capacity_type(pb::CAPACITY_TYPE_MANAGED);
    request.mutable_resources()->add_zones("ATLANTIS-01A");
    return desk.claims.create(owner, request,
                              expect_refusal<pb::CreateCapacityClaimResponse>("zone"));
  }
  pb::CreateDeploymentRequest request;
  request.set_name("app-of-nothing");
  const auto* gateway = pick(witness_.gateways());
  if (gateway != nullptr) request.add_gateway_ids(gateway->spec.id);
  request.mutable_runtime()->set_engine("vllm");
  request.mutable_runtime()->set_version(versions.front());
  draw_resources(*request.mutable_resources());
  draw_model(*request.mutable_model());
  *request.mutable_autoscaling() = draw_autoscaling();
  request.mutable_traffic();
  switch (dice.between(0, 4)) {
    case 0:
      request.mutable_autoscaling()->set_min(0);
      break;
    case 1:
      request.mutable_autoscaling()->set_max(request.autoscaling().min() - 1);
      break;
    case 2:
      request.mutable_autoscaling()->set_priority(1001);
      break;
    case 3:
      request.mutable_resources()->set_gpu_count(3);
      break;
    default:
      request.clear_gateway_ids();
      request.add_gateway_ids("00000000-0000-4000-8000-000000000000");
      break;
  }
  desk.deployments.create(owner, request,
                          expect_refusal<pb::CreateDeploymentResponse>("deployment"));
}

// ---- helpers

service::Caller Organization::caller(const std::string& organization) const {
  return {.principal = {.organization = organization,
                        .role = auth::Role::admin,
                        .token_id = "t1",
                        .token_name = "simulation"},
          .spelling = service::Spelling::rest};
}

template <typename Response>
service::Done<Response> Organization::expect_sense(std::string what) const {
  stage_.trace.note("call: {}", what);
  return [this, what = std::move(what)](const Result<Response>& result) {
    if (result) {
      stage_.counters.count("call accepted");
      return;
    }
    stage_.trace.note("refused: {}: {} {}", what, code_name(result.error().code),
                      result.error().message);
    stage_.counters.count(code_name(result.error().code));
    if (!is_sensible(result.error())) {
      stage_.verdict.fail(
          Invariant::calls_are_answered_well,
          fmt::format("{}: {} {}", what, code_name(result.error().code), result.error().message));
    }
  };
}

template <typename Response>
service::Done<Response> Organization::expect_refusal(std::string what) const {
  return [this, what = std::move(what)](const Result<Response>& result) {
    if (!result && is_sensible(result.error())) return;
    stage_.verdict.fail(Invariant::calls_are_answered_well,
                        fmt::format("a {} that is nonsense was accepted or badly refused", what));
  };
}

template <typename T>
const T* Organization::pick(const std::map<model::Id, T>& from) const {
  if (from.empty()) return nullptr;
  const auto at = static_cast<std::ptrdiff_t>(stage_.dice.between(0, from.size() - 1));
  return &std::next(from.begin(), at)->second;
}

std::string Organization::name(std::string_view stem) const {
  return fmt::format("{}-{}", stem, stage_.dice.between(1, 20));
}

pb::DeploymentAutoscaling Organization::draw_autoscaling() const {
  Dice& dice = stage_.dice;
  pb::DeploymentAutoscaling scaling;
  const std::uint64_t min = dice.chance(0.1) ? dice.between(4, 8) : dice.between(1, 3);
  scaling.set_min(static_cast<std::uint32_t>(min));
  scaling.set_max(static_cast<std::uint32_t>(min + dice.between(0, 3)));
  scaling.set_priority(static_cast<std::uint32_t>(dice.between(0, 2) * 500));
  scaling.set_concurrency(static_cast<std::uint32_t>(dice.between(0, 1) * 8));
  switch (dice.between(0, 5)) {
    case 0:
      scaling.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED);
      break;
    case 1:
      scaling.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_ON_DEMAND);
      break;
    case 2:
      scaling.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_ON_DEMAND);
      scaling.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED);
      break;
    default:
      break;
  }
  return scaling;
}

void Organization::draw_model(pb::DeploymentModel& model) const {
  Dice& dice = stage_.dice;
  model.set_name(fmt::format("org/model-{}", dice.between(1, 3)));
  model.set_bucket("models");
  model.set_path(fmt::format("{}-{}", path_of(draw_temper(dice)), dice.between(1, 2)));
}

void Organization::draw_resources(pb::DeploymentResources& resources) const {
  const model::InstanceType& type = instance_types[draw_type(stage_.dice)];
  std::uint32_t gpu_count = 1;
  while (gpu_count < type.gpu_count && stage_.dice.chance(0.4)) gpu_count *= 2;
  resources.set_instance_type(type.id);
  resources.set_gpu_count(gpu_count);
}

}  // namespace staithe::sim
