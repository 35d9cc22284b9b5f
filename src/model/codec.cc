#include "model/codec.h"

#include "model/json_text.h"

namespace staithe::model {
namespace {

using json_text::Json;
using json_text::Object;
using json_text::read;
using json_text::read_each;
using json_text::read_enum;
using json_text::to_json;

// Runs `fill(json, value)` on a default value and takes it over when all went well.
template <typename T, typename Fill>
Result<void> decode_into(std::string_view text, T& value, Fill fill) {
  auto decoded = json_text::decode_json(text, [fill](const Object& json) {
    T fresh;
    fill(json, fresh);
    return fresh;
  });
  if (!decoded) return std::move(decoded).error();
  value = std::move(decoded).value();
  return {};
}

Json encode_condition(const Condition& condition) {
  return {{"type", condition.type},       {"status", condition.status},
          {"reason", condition.reason},   {"time", to_json(condition.last_update_time)},
          {"message", condition.message}, {"zone", condition.zone}};
}

Condition decode_condition(const Object& json) {
  Condition condition;
  read(json, "type", condition.type);
  read_enum(json, "status", ConditionStatus::is_true, condition.status);
  read(json, "reason", condition.reason);
  read(json, "time", condition.last_update_time);
  read(json, "message", condition.message);
  read(json, "zone", condition.zone);
  return condition;
}

Json encode_base(const StatusBase& base) {
  Json conditions = Json::array();
  for (const Condition& condition : base.conditions) {
    conditions.push_back(encode_condition(condition));
  }
  return {{"created", to_json(base.created_at)},
          {"updated", to_json(base.updated_at)},
          {"status", base.status},
          {"conditions", std::move(conditions)},
          {"generation", base.generation},
          {"observed", base.observed_generation},
          {"was_ready", base.was_ready}};
}

void decode_headline(const Object& json, StatusBase& base) {
  read(json, "created", base.created_at);
  read(json, "updated", base.updated_at);
  read_enum(json, "status", Status::ready, base.status);
  read(json, "generation", base.generation);
  read(json, "observed", base.observed_generation);
  read(json, "was_ready", base.was_ready);
}

void decode_base(const Object& json, StatusBase& base) {
  decode_headline(json, base);
  read_each(json, "conditions", [&base](const Object& condition) {
    base.conditions.push_back(decode_condition(condition));
  });
}

Json encode_auth(const GatewaySpec& spec) {
  const auto* wandb = std::get_if<WeightsAndBiasesAuth>(&spec.auth);
  if (wandb == nullptr) return {{"coreweave", Json::object()}};
  return {{"wandb",
           {{"key", wandb->api_key},
            {"url", wandb->server_url},
            {"usage", wandb->enable_usage_reports},
            {"limit", wandb->enable_rate_limiting}}}};
}

void decode_auth(const Object& json, GatewaySpec& spec) {
  if (!json.contains("wandb")) return;
  WeightsAndBiasesAuth wandb;
  const Object member = json.child("wandb");
  read(member, "key", wandb.api_key);
  read(member, "url", wandb.server_url);
  read(member, "usage", wandb.enable_usage_reports);
  read(member, "limit", wandb.enable_rate_limiting);
  spec.auth = std::move(wandb);
}

Json encode_routing(const GatewaySpec& spec) {
  if (const auto* header = std::get_if<HeaderBasedRouting>(&spec.routing)) {
    return {{"header", {{"name", header->header_name}}}};
  }
  if (std::holds_alternative<PathBasedRouting>(spec.routing)) return {{"path", Json::object()}};
  return {{"body", {{"api", std::get<BodyBasedRouting>(spec.routing).api_type}}}};
}

void decode_routing(const Object& json, GatewaySpec& spec) {
  if (json.contains("header")) {
    HeaderBasedRouting header;
    read(json.child("header"), "name", header.header_name);
    spec.routing = std::move(header);
  } else if (json.contains("path")) {
    spec.routing = PathBasedRouting{};
  } else {
    BodyBasedRouting body;
    read_enum(json.child("body"), "api", ApiType::openai, body.api_type);
    spec.routing = body;
  }
}

void decode_autoscaling(const Object& json, DeploymentAutoscaling& autoscaling) {
  read(json, "min", autoscaling.min);
  read(json, "max", autoscaling.max);
  read(json, "priority", autoscaling.priority);
  read(json, "concurrency", autoscaling.concurrency);
  std::vector<std::uint8_t> classes;
  read(json, "classes", classes);
  for (const std::uint8_t number : classes) {
    if (number > static_cast<std::uint8_t>(CapacityClass::on_demand)) {
      throw std::range_error("a capacity class has an unknown number");
    }
    autoscaling.capacity_classes.push_back(static_cast<CapacityClass>(number));
  }
}

// Records of one node and its slots were written before replicas could span nodes.
std::vector<ReplicaPart> decode_parts(const Object& json) {
  const auto part_of = [](const Object& object) {
    ReplicaPart part;
    read(object, "node", part.node_id);
    read(object, "slots", part.gpu_slots);
    return part;
  };
  if (!json.contains("parts")) return {part_of(json)};
  std::vector<ReplicaPart> parts;
  read_each(json, "parts",
            [&parts, part_of](const Object& part) { parts.push_back(part_of(part)); });
  if (parts.empty()) throw std::range_error("parts is empty");
  return parts;
}

}  // namespace

std::string encode(const ClaimSpec& value) {
  return json_text::dump({{"id", value.id},
                          {"name", value.name},
                          {"organization", value.organization_id},
                          {"instance", value.resources.instance_id},
                          {"count", value.resources.instance_count},
                          {"capacity", value.resources.capacity_type},
                          {"zones", value.resources.zones}});
}

Result<void> decode(std::string_view text, ClaimSpec& value) {
  return decode_into(text, value, [](const Object& json, ClaimSpec& spec) {
    read(json, "id", spec.id);
    read(json, "name", spec.name);
    read(json, "organization", spec.organization_id);
    read(json, "instance", spec.resources.instance_id);
    read(json, "count", spec.resources.instance_count);
    read_enum(json, "capacity", CapacityType::managed, spec.resources.capacity_type);
    read(json, "zones", spec.resources.zones);
  });
}

std::string encode(const ClaimStatus& value) {
  Json json = encode_base(value);
  json["allocated"] = value.allocated_instances;
  json["pending"] = value.pending_instances;
  json["nodes"] = value.nodes;
  return json_text::dump(json);
}

Result<void> decode(std::string_view text, ClaimStatus& value) {
  return decode_into(text, value, [](const Object& json, ClaimStatus& status) {
    decode_base(json, status);
    read(json, "allocated", status.allocated_instances);
    read(json, "pending", status.pending_instances);
    read(json, "nodes", status.nodes);
  });
}

std::string encode(const DeploymentSpec& value) {
  return json_text::dump(
      {{"id", value.id},
       {"name", value.name},
       {"organization", value.organization_id},
       {"gateways", value.gateway_ids},
       {"runtime",
        {{"engine", value.runtime.engine},
         {"version", value.runtime.version},
         {"config", value.runtime.engine_config},
         {"env", value.runtime.engine_env}}},
       {"instance", value.resources.instance_type},
       {"gpus", value.resources.gpu_count},
       {"model",
        {{"name", value.model.name}, {"bucket", value.model.bucket}, {"path", value.model.path}}},
       {"autoscaling",
        {{"min", value.autoscaling.min},
         {"max", value.autoscaling.max},
         {"priority", value.autoscaling.priority},
         {"classes", value.autoscaling.capacity_classes},
         {"concurrency", value.autoscaling.concurrency}}},
       {"weight", value.traffic.weight},
       {"disabled", value.disabled}});
}

Result<void> decode(std::string_view text, DeploymentSpec& value) {
  return decode_into(text, value, [](const Object& json, DeploymentSpec& spec) {
    read(json, "id", spec.id);
    read(json, "name", spec.name);
    read(json, "organization", spec.organization_id);
    read(json, "gateways", spec.gateway_ids);
    const Object runtime = json.child("runtime");
    read(runtime, "engine", spec.runtime.engine);
    read(runtime, "version", spec.runtime.version);
    read(runtime, "config", spec.runtime.engine_config);
    read(runtime, "env", spec.runtime.engine_env);
    read(json, "instance", spec.resources.instance_type);
    read(json, "gpus", spec.resources.gpu_count);
    const Object model = json.child("model");
    read(model, "name", spec.model.name);
    read(model, "bucket", spec.model.bucket);
    read(model, "path", spec.model.path);
    decode_autoscaling(json.child("autoscaling"), spec.autoscaling);
    read(json, "weight", spec.traffic.weight);
    read(json, "disabled", spec.disabled);
  });
}

std::string encode(const DeploymentStatus& value) {
  return json_text::dump(encode_base(value));
}

Result<void> decode(std::string_view text, DeploymentStatus& value) {
  return decode_into(
      text, value, [](const Object& json, DeploymentStatus& status) { decode_base(json, status); });
}

Result<void> decode_without_conditions(std::string_view text, DeploymentStatus& value) {
  return decode_into(text, value, [](const Object& json, DeploymentStatus& status) {
    decode_headline(json, status);
  });
}

std::string encode(const GatewaySpec& value) {
  Json json = {
      {"id", value.id},       {"name", value.name},         {"organization", value.organization_id},
      {"zones", value.zones}, {"auth", encode_auth(value)}, {"routing", encode_routing(value)}};
  if (value.endpoint_configuration) {
    json["endpoint"] = {{"dns", value.endpoint_configuration->additional_dns},
                        {"sources", value.endpoint_configuration->allowed_source_ip_ranges}};
  }
  return json_text::dump(json);
}

Result<void> decode(std::string_view text, GatewaySpec& value) {
  return decode_into(text, value, [](const Object& json, GatewaySpec& spec) {
    read(json, "id", spec.id);
    read(json, "name", spec.name);
    read(json, "organization", spec.organization_id);
    read(json, "zones", spec.zones);
    decode_auth(json.child("auth"), spec);
    decode_routing(json.child("routing"), spec);
    if (json.contains("endpoint")) {
      EndpointConfiguration& endpoint = spec.endpoint_configuration.emplace();
      read(json.child("endpoint"), "dns", endpoint.additional_dns);
      read(json.child("endpoint"), "sources", endpoint.allowed_source_ip_ranges);
    }
  });
}

std::string encode(const GatewayStatus& value) {
  Json json = encode_base(value);
  json["endpoints"] = value.endpoints;
  return json_text::dump(json);
}

Result<void> decode(std::string_view text, GatewayStatus& value) {
  return decode_into(text, value, [](const Object& json, GatewayStatus& status) {
    decode_base(json, status);
    read(json, "endpoints", status.endpoints);
  });
}

std::string encode(const Node& value) {
  return json_text::dump({{"id", value.id},
                          {"zone", value.zone},
                          {"instance", value.instance_type},
                          {"gpus", value.gpu_count},
                          {"owner", value.owner_organization},
                          {"schedulable", value.schedulable},
                          {"source", static_cast<unsigned>(value.source)},
                          {"draining", value.is_draining}});
}

Result<void> decode(std::string_view text, Node& value) {
  return decode_into(text, value, [](const Object& json, Node& node) {
    read(json, "id", node.id);
    read(json, "zone", node.zone);
    read(json, "instance", node.instance_type);
    read(json, "gpus", node.gpu_count);
    read(json, "owner", node.owner_organization);
    read(json, "schedulable", node.schedulable);
    read_enum(json, "source", NodeSource::joined, node.source);
    read(json, "draining", node.is_draining);
  });
}

std::string encode(const Replica& value) {
  Json parts = Json::array();
  for (const ReplicaPart& part : value.parts) {
    parts.push_back({{"node", part.node_id}, {"slots", part.gpu_slots}});
  }
  return json_text::dump({{"id", value.id},
                          {"deployment", value.deployment_id},
                          {"organization", value.organization_id},
                          {"parts", std::move(parts)},
                          {"claim", value.claim_id},
                          {"hash", value.spec_hash},
                          {"draining", value.draining},
                          {"created", to_json(value.created_at)}});
}

Result<void> decode(std::string_view text, Replica& value) {
  return decode_into(text, value, [](const Object& json, Replica& replica) {
    read(json, "id", replica.id);
    read(json, "deployment", replica.deployment_id);
    read(json, "organization", replica.organization_id);
    replica.parts = decode_parts(json);
    read(json, "claim", replica.claim_id);
    read(json, "hash", replica.spec_hash);
    read(json, "draining", replica.draining);
    read(json, "created", replica.created_at);
  });
}

std::string encode(const Limit& value) {
  return json_text::dump({{"organization", value.organization_id},
                          {"token", value.token_id},
                          {"requests", value.requests_per_minute},
                          {"tokens", value.tokens_per_minute},
                          {"parallel", value.parallel_requests},
                          {"models", value.models}});
}

Result<void> decode(std::string_view text, Limit& value) {
  return decode_into(text, value, [](const Object& json, Limit& limit) {
    read(json, "organization", limit.organization_id);
    read(json, "token", limit.token_id);
    read(json, "requests", limit.requests_per_minute);
    read(json, "tokens", limit.tokens_per_minute);
    read(json, "parallel", limit.parallel_requests);
    read(json, "models", limit.models);
  });
}

}  // namespace staithe::model
