#include "service/convert.h"

#include "base/check.h"
#include "base/encoding.h"

namespace staithe::service {
namespace {

pb::Condition_Status condition_status(model::ConditionStatus status) {
  switch (status) {
    case model::ConditionStatus::is_true:
      return pb::Condition::STATUS_TRUE;
    case model::ConditionStatus::is_false:
      return pb::Condition::STATUS_FALSE;
    case model::ConditionStatus::unknown:
      break;
  }
  return pb::Condition::STATUS_UNSPECIFIED;
}

// What the status messages of all three kinds share.
template <typename StatusMessage>
void set_status(const model::StatusBase& status, StatusMessage& message) {
  set_time(status.created_at, *message.mutable_created_at());
  set_time(status.updated_at, *message.mutable_updated_at());
  message.set_status(static_cast<pb::Status>(status.status));
  for (const model::Condition& condition : status.conditions) {
    pb::Condition& drawn = *message.add_conditions();
    drawn.set_type(condition.type);
    drawn.set_status(condition_status(condition.status));
    set_time(condition.last_update_time, *drawn.mutable_last_update_time());
    drawn.set_reason(condition.reason);
    drawn.set_message(condition.message);
    drawn.set_zone(condition.zone);
  }
}

bool is_platform_owned(model::CapacityType type) {
  return type == model::CapacityType::serverless || type == model::CapacityType::managed;
}

model::CapacityType capacity_type(int given, Spelling spelling, model::CapacityType present) {
  const auto type = static_cast<model::CapacityType>(given);
  if (!is_platform_owned(type) || spelling == Spelling::rest) return type;
  // The other dialects have one word for both and keep what REST wrote.
  return is_platform_owned(present) ? present : model::CapacityType::managed;
}

template <typename Request>
model::DeploymentSpec deployment_spec(const Request& request) {
  model::DeploymentSpec spec;
  spec.id = to_lower(request.id());
  spec.name = request.name();
  for (const std::string& id : request.gateway_ids()) spec.gateway_ids.push_back(to_lower(id));
  spec.runtime.engine = request.runtime().engine();
  spec.runtime.version = request.runtime().version();
  spec.runtime.engine_config.insert(request.runtime().engine_config().begin(),
                                    request.runtime().engine_config().end());
  spec.runtime.engine_env.insert(request.runtime().engine_env().begin(),
                                 request.runtime().engine_env().end());
  spec.resources.instance_type = request.resources().instance_type();
  spec.resources.gpu_count = request.resources().gpu_count();
  spec.model.name = request.model().name();
  spec.model.bucket = request.model().bucket();
  spec.model.path = request.model().path();
  spec.autoscaling.min = request.autoscaling().min();
  spec.autoscaling.max = request.autoscaling().max();
  spec.autoscaling.priority = request.autoscaling().priority();
  for (const int value : request.autoscaling().capacity_classes()) {
    spec.autoscaling.capacity_classes.push_back(static_cast<model::CapacityClass>(value));
  }
  spec.autoscaling.concurrency = request.autoscaling().concurrency();
  spec.traffic.weight = request.traffic().weight();
  spec.disabled = request.disabled();
  return spec;
}

template <typename Request>
model::GatewaySpec gateway_spec(const Request& request) {
  model::GatewaySpec spec;
  spec.id = to_lower(request.id());
  spec.name = request.name();
  spec.zones.assign(request.zones().begin(), request.zones().end());
  if (request.has_weights_and_biases_auth()) {
    const pb::WeightsAndBiasesAuth& auth = request.weights_and_biases_auth();
    spec.auth = model::WeightsAndBiasesAuth{.api_key = auth.api_key(),
                                            .server_url = auth.server_url(),
                                            .enable_usage_reports = auth.enable_usage_reports(),
                                            .enable_rate_limiting = auth.enable_rate_limiting()};
  }
  if (request.has_body_based_routing()) {
    spec.routing = model::BodyBasedRouting{
        .api_type = static_cast<model::ApiType>(request.body_based_routing().api_type())};
  } else if (request.has_header_based_routing()) {
    spec.routing =
        model::HeaderBasedRouting{.header_name = request.header_based_routing().header_name()};
  } else {
    spec.routing = model::PathBasedRouting{};
  }
  if (request.has_endpoint_configuration()) {
    const auto& names = request.endpoint_configuration().additional_dns();
    const auto& sources = request.endpoint_configuration().allowed_source_ip_ranges();
    spec.endpoint_configuration =
        model::EndpointConfiguration{.additional_dns = {names.begin(), names.end()},
                                     .allowed_source_ip_ranges = {sources.begin(), sources.end()}};
  }
  return spec;
}

}  // namespace

void set_time(Timestamp time, google::protobuf::Timestamp& message) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  message.set_seconds(seconds.time_since_epoch().count());
  message.set_nanos(static_cast<std::int32_t>(std::chrono::nanoseconds(time - seconds).count()));
}

model::ClaimResources to_model(const pb::CapacityClaimResources& resources, Spelling spelling,
                               model::CapacityType present) {
  return {.instance_id = resources.instance_id(),
          .instance_count = resources.instance_count(),
          .capacity_type = capacity_type(resources.capacity_type(), spelling, present),
          .zones = {resources.zones().begin(), resources.zones().end()}};
}

void to_message(const model::CapacityClaim& claim, Spelling spelling, pb::CapacityClaim& message) {
  pb::CapacityClaimSpec& spec = *message.mutable_spec();
  spec.set_id(claim.spec.id);
  spec.set_name(claim.spec.name);
  spec.set_organization_id(claim.spec.organization_id);
  pb::CapacityClaimResources& resources = *spec.mutable_resources();
  resources.set_instance_id(claim.spec.resources.instance_id);
  resources.set_instance_count(claim.spec.resources.instance_count);
  model::CapacityType type = claim.spec.resources.capacity_type;
  if (spelling == Spelling::descriptor && is_platform_owned(type))
    type = model::CapacityType::managed;
  resources.set_capacity_type(static_cast<pb::CapacityType>(type));
  for (const std::string& zone : claim.spec.resources.zones) resources.add_zones(zone);
  pb::CapacityClaimStatus& status = *message.mutable_status();
  set_status(claim.status, status);
  status.set_allocated_instances(claim.status.allocated_instances);
  status.set_pending_instances(claim.status.pending_instances);
}

model::DeploymentSpec to_model(const pb::CreateDeploymentRequest& request) {
  return deployment_spec(request);
}

model::DeploymentSpec to_model(const pb::UpdateDeploymentRequest& request) {
  return deployment_spec(request);
}

void to_message(const model::Deployment& deployment, pb::Deployment& message) {
  const model::DeploymentSpec& from = deployment.spec;
  pb::DeploymentSpec& spec = *message.mutable_spec();
  spec.set_id(from.id);
  spec.set_name(from.name);
  for (const model::Id& id : from.gateway_ids) spec.add_gateway_ids(id);
  spec.mutable_runtime()->set_engine(from.runtime.engine);
  spec.mutable_runtime()->set_version(from.runtime.version);
  for (const auto& [key, value] : from.runtime.engine_config) {
    (*spec.mutable_runtime()->mutable_engine_config())[key] = value;
  }
  for (const auto& [key, value] : from.runtime.engine_env) {
    (*spec.mutable_runtime()->mutable_engine_env())[key] = value;
  }
  spec.mutable_resources()->set_instance_type(from.resources.instance_type);
  spec.mutable_resources()->set_gpu_count(from.resources.gpu_count);
  spec.mutable_model()->set_name(from.model.name);
  spec.mutable_model()->set_bucket(from.model.bucket);
  spec.mutable_model()->set_path(from.model.path);
  pb::DeploymentAutoscaling& autoscaling = *spec.mutable_autoscaling();
  autoscaling.set_min(from.autoscaling.min);
  autoscaling.set_max(from.autoscaling.max);
  autoscaling.set_priority(from.autoscaling.priority);
  for (const model::CapacityClass value : from.autoscaling.capacity_classes) {
    autoscaling.add_capacity_classes(static_cast<pb::DeploymentAutoscaling::CapacityClass>(value));
  }
  autoscaling.set_concurrency(from.autoscaling.concurrency);
  spec.mutable_traffic()->set_weight(from.traffic.weight);
  spec.set_organization_id(from.organization_id);
  spec.set_disabled(from.disabled);
  set_status(deployment.status, *message.mutable_status());
}

model::GatewaySpec to_model(const pb::CreateGatewayRequest& request) {
  return gateway_spec(request);
}

model::GatewaySpec to_model(const pb::UpdateGatewayRequest& request) {
  return gateway_spec(request);
}

void to_message(const model::Gateway& gateway, pb::Gateway& message) {
  const model::GatewaySpec& from = gateway.spec;
  pb::GatewaySpec& spec = *message.mutable_spec();
  spec.set_id(from.id);
  spec.set_name(from.name);
  for (const std::string& zone : from.zones) spec.add_zones(zone);
  if (const auto* auth = std::get_if<model::WeightsAndBiasesAuth>(&from.auth)) {
    // The key stays where it is.
    pb::WeightsAndBiasesAuth& drawn = *spec.mutable_weights_and_biases_auth();
    drawn.set_server_url(auth->server_url);
    drawn.set_enable_usage_reports(auth->enable_usage_reports);
    drawn.set_enable_rate_limiting(auth->enable_rate_limiting);
  } else {
    spec.mutable_core_weave_auth();
  }
  spec.set_organization_id(from.organization_id);
  if (from.endpoint_configuration) {
    pb::EndpointConfiguration& drawn = *spec.mutable_endpoint_configuration();
    for (const std::string& name : from.endpoint_configuration->additional_dns) {
      drawn.add_additional_dns(name);
    }
    for (const std::string& range : from.endpoint_configuration->allowed_source_ip_ranges) {
      drawn.add_allowed_source_ip_ranges(range);
    }
  }
  if (const auto* body = std::get_if<model::BodyBasedRouting>(&from.routing)) {
    spec.mutable_body_based_routing()->set_api_type(
        static_cast<pb::BodyBasedRouting::APIType>(body->api_type));
  } else if (const auto* header = std::get_if<model::HeaderBasedRouting>(&from.routing)) {
    spec.mutable_header_based_routing()->set_header_name(header->header_name);
  } else {
    spec.mutable_path_based_routing();
  }
  set_status(gateway.status, *message.mutable_status());
  for (const std::string& endpoint : gateway.status.endpoints) {
    message.mutable_status()->add_endpoints(endpoint);
  }
}

}  // namespace staithe::service
