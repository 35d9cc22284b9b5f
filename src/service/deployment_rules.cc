#include "service/deployment_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "service/request_checks.h"
#include "service/rules.h"
#include "service/violations.h"

namespace staithe::service {
namespace {

using Pairs = google::protobuf::Map<std::string, std::string>;

bool contains(const std::vector<std::string>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

const model::EngineOffer* find_engine(const model::Catalogue& catalogue, const std::string& name) {
  const auto found = catalogue.engines.find(name);
  return found == catalogue.engines.end() ? nullptr : &found->second;
}

// The names of a catalogue's map are in order.
std::string engine_names(const model::Catalogue& catalogue) {
  std::string names;
  for (const auto& [name, offer] : catalogue.engines) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

void check_gateway_ids(Violations& violations, const Texts& ids) {
  if (ids.empty()) violations.add("gatewayIds", "is required");
  check_unique(violations, "gatewayIds", ids);
  for (int i = 0; i < ids.size(); ++i) {
    if (!rules::is_uuid(ids[i])) violations.add(element("gatewayIds", i), "must be a valid UUID");
  }
}

void check_version(Violations& violations, const pb::DeploymentRuntime& runtime,
                   const model::Catalogue& catalogue, const ServiceOptions& options) {
  const model::EngineOffer* engine = find_engine(catalogue, runtime.engine());
  if (runtime.version().empty()) {
    const bool has_default =
        options.default_runtime_version && !default_version(runtime.engine(), catalogue).empty();
    if (!has_default) violations.add("runtime.version", "is required");
  } else if (!rules::is_semver(runtime.version())) {
    violations.add("runtime.version", "must be a valid semantic version");
  } else if (engine != nullptr && !contains(engine->versions, runtime.version())) {
    violations.add("runtime.version",
                   fmt::format("{} is not available for engine {}",
                               rules::quoted(runtime.version()), rules::quoted(runtime.engine())));
  }
}

// What tells engineConfig from engineEnv.
struct PairRules {
  std::string field;
  bool (*is_key)(std::string_view);
  const std::vector<std::string>* allowed;  // null: the engine is unknown
  std::string_view what_is_allowed;
  std::string engine;
};

void check_pairs(Violations& violations, const Pairs& pairs, const PairRules& rules_of_pairs) {
  constexpr std::size_t key_length_max = 253;
  constexpr std::size_t value_length_max = 1024;
  // In the order of the keys, as a protobuf map has none.
  for (const auto& [key, value] : std::map(pairs.begin(), pairs.end())) {
    const std::string field = fmt::format("{}[{}]", rules_of_pairs.field, rules::quoted(key));
    if (key.size() > key_length_max || !rules_of_pairs.is_key(key)) {
      violations.add(field, "is not a valid key");
    } else if (rules_of_pairs.allowed != nullptr && !contains(*rules_of_pairs.allowed, key)) {
      violations.add(
          field, fmt::format("is not an allowed {} for engine {}", rules_of_pairs.what_is_allowed,
                             rules::quoted(rules_of_pairs.engine)));
    }
    if (rules::length(value) > value_length_max) {
      violations.add(field, fmt::format("must be at most {} characters", value_length_max));
    }
    // Put into a container's command line, "$(NAME)" would be expanded.
    if (value.find("$(") != std::string::npos) violations.add(field, "must not contain \"$(\"");
  }
}

void check_runtime(Violations& violations, const pb::DeploymentRuntime& runtime,
                   const model::Catalogue& catalogue, const ServiceOptions& options) {
  constexpr int env_pairs_max = 100;
  const model::EngineOffer* engine = find_engine(catalogue, runtime.engine());
  if (runtime.engine().empty()) {
    violations.add("runtime.engine", "is required");
  } else if (engine == nullptr) {
    violations.add("runtime.engine", "must be one of: " + engine_names(catalogue));
  }
  check_version(violations, runtime, catalogue, options);
  check_pairs(violations, runtime.engine_config(),
              {.field = "runtime.engineConfig",
               .is_key = rules::is_config_key,
               .allowed = engine == nullptr ? nullptr : &engine->allowed_keys,
               .what_is_allowed = "key",
               .engine = runtime.engine()});
  if (runtime.engine_env_size() > env_pairs_max) {
    violations.add("runtime.engineEnv",
                   fmt::format("must contain at most {} variables", env_pairs_max));
  }
  check_pairs(violations, runtime.engine_env(),
              {.field = "runtime.engineEnv",
               .is_key = rules::is_env_name,
               .allowed = engine == nullptr ? nullptr : &engine->allowed_env_names,
               .what_is_allowed = "variable",
               .engine = runtime.engine()});
}

void check_resources(Violations& violations, const pb::DeploymentResources& resources,
                     const model::EngineOffer* engine, const model::Catalogue& catalogue) {
  constexpr std::array<std::uint32_t, 5> gpu_counts = {1, 2, 4, 8, 16};
  if (resources.instance_type().empty()) violations.add("resources.instanceType", "is required");

  const bool is_possible =
      std::find(gpu_counts.begin(), gpu_counts.end(), resources.gpu_count()) != gpu_counts.end();
  if (!is_possible) {
    violations.add("resources.gpuCount",
                   fmt::format("must be one of: {}", fmt::join(gpu_counts, ", ")));
    return;
  }
  const model::InstanceType* type = catalogue.find_instance_type(resources.instance_type());
  const bool spans_nodes = engine != nullptr && engine->spans_nodes;
  if (type != nullptr && !spans_nodes && resources.gpu_count() > type->gpu_count) {
    violations.add("resources.gpuCount",
                   fmt::format("must be at most {} for instance type {}", type->gpu_count,
                               rules::quoted(resources.instance_type())));
  }
}

void check_model(Violations& violations, const pb::DeploymentModel& model) {
  constexpr std::size_t name_length_min = 4;
  constexpr std::size_t name_length_max = 63;
  if (check_text(violations, "model.name", model.name(), name_length_max)) {
    if (rules::length(model.name()) < name_length_min) {
      violations.add("model.name", fmt::format("must be at least {} characters", name_length_min));
    }
    if (!rules::is_model_name(model.name())) {
      violations.add("model.name", "must be letters, digits or any of . _ : / -");
    }
  }
  check_host_label(violations, "model.bucket", model.bucket());
  if (model.path().empty()) {
    violations.add("model.path", "is required");
  } else if (rules::has_path_traversal(model.path())) {
    violations.add("model.path", "must not contain path traversal (..) segments");
  }
}

void check_capacity_classes(Violations& violations, const pb::DeploymentAutoscaling& autoscaling) {
  const std::string field = "autoscaling.capacityClasses";
  std::set<int> seen;
  for (const int capacity_class : autoscaling.capacity_classes()) seen.insert(capacity_class);
  if (seen.size() != static_cast<std::size_t>(autoscaling.capacity_classes_size())) {
    violations.add(field, "must not contain duplicates");
  }
  for (int i = 0; i < autoscaling.capacity_classes_size(); ++i) {
    const int capacity_class = autoscaling.capacity_classes(i);
    if (capacity_class != pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED &&
        capacity_class != pb::DeploymentAutoscaling::CAPACITY_CLASS_ON_DEMAND) {
      violations.add(element(field, i),
                     "must be one of: CAPACITY_CLASS_RESERVED, CAPACITY_CLASS_ON_DEMAND");
    }
  }
}

void check_autoscaling(Violations& violations, const pb::DeploymentAutoscaling& autoscaling) {
  constexpr std::uint32_t priority_max = 1000;
  if (autoscaling.min() == 0) violations.add("autoscaling.min", "must be at least 1");
  if (autoscaling.max() == 0) {
    violations.add("autoscaling.max", "must be at least 1");
  } else if (autoscaling.max() < autoscaling.min()) {
    violations.add("autoscaling.max", "must be greater than or equal to min");
  }
  check_at_most(violations, "autoscaling.priority", autoscaling.priority(), priority_max);
  check_capacity_classes(violations, autoscaling);
}

template <typename Request>
void check_spec(Violations& violations, const Request& request, const model::Catalogue& catalogue,
                const ServiceOptions& options) {
  constexpr std::uint32_t weight_max = 1000;
  check_host_label(violations, "name", request.name());
  check_gateway_ids(violations, request.gateway_ids());
  if (request.has_runtime()) {
    check_runtime(violations, request.runtime(), catalogue, options);
  } else {
    violations.add("runtime", "is required");
  }
  if (request.has_resources()) {
    check_resources(violations, request.resources(),
                    find_engine(catalogue, request.runtime().engine()), catalogue);
  } else {
    violations.add("resources", "is required");
  }
  if (request.has_model()) {
    check_model(violations, request.model());
  } else {
    violations.add("model", "is required");
  }
  if (request.has_autoscaling()) {
    check_autoscaling(violations, request.autoscaling());
  } else {
    violations.add("autoscaling", "is required");
  }
  if (request.has_traffic()) {
    check_at_most(violations, "traffic.weight", request.traffic().weight(), weight_max);
  } else {
    violations.add("traffic", "is required");
  }
}

}  // namespace

Result<void> validate(const pb::CreateDeploymentRequest& request, const model::Catalogue& catalogue,
                      const ServiceOptions& options) {
  Violations violations;
  check_optional_id(violations, "id", request.id());
  check_spec(violations, request, catalogue, options);
  return std::move(violations).result();
}

Result<void> validate(const pb::UpdateDeploymentRequest& request, const model::Catalogue& catalogue,
                      const ServiceOptions& options) {
  Violations violations;
  check_id(violations, "id", request.id());
  check_spec(violations, request, catalogue, options);
  return std::move(violations).result();
}

std::string default_version(std::string_view engine, const model::Catalogue& catalogue) {
  const model::EngineOffer* offer = find_engine(catalogue, std::string(engine));
  if (offer == nullptr) return {};
  // Versions are kept newest first.
  const auto found = std::find_if(offer->versions.begin(), offer->versions.end(),
                                  [](const std::string& v) { return rules::is_plain_semver(v); });
  return found == offer->versions.end() ? std::string{} : *found;
}

}  // namespace staithe::service
