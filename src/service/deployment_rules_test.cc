#include "service/deployment_rules.h"

#include <gtest/gtest.h>

#include <functional>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

using Request = pb::CreateDeploymentRequest;
using Lines = std::vector<std::string>;

const std::string gateway_id = "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e21";
const std::string label_form =
    " must be 1 to 63 letters, digits or hyphens, with a letter or digit at both ends";

Lines refused(const std::function<void(Request&)>& change, const ServiceOptions& options = {}) {
  Request request = deployment_request(gateway_id);
  change(request);
  return violations_of(validate(request, test_catalogue(), options));
}

// "field: field problem", the usual line.
Lines line(const std::string& field, const std::string& problem) {
  return {field + ": " + field + " " + problem};
}

TEST(DeploymentRules, a_whole_request_passes) {
  EXPECT_EQ(refused([](Request&) {}), Lines{});
}

TEST(DeploymentRules, an_empty_request_lists_every_required_field) {
  EXPECT_EQ(violations_of(validate(Request{}, test_catalogue(), {})),
            (Lines{"name: name is required", "gatewayIds: gatewayIds is required",
                   "runtime: runtime is required", "resources: resources is required",
                   "model: model is required", "autoscaling: autoscaling is required",
                   "traffic: traffic is required"}));
}

TEST(DeploymentRules, empty_parts_list_their_required_fields) {
  EXPECT_EQ(refused([](Request& request) {
              request.mutable_runtime()->Clear();
              request.mutable_resources()->Clear();
              request.mutable_model()->Clear();
              request.mutable_autoscaling()->Clear();
            }),
            (Lines{"runtime.engine: runtime.engine is required",
                   "runtime.version: runtime.version is required",
                   "resources.instanceType: resources.instanceType is required",
                   "resources.gpuCount: resources.gpuCount must be one of: 1, 2, 4, 8, 16",
                   "model.name: model.name is required", "model.bucket: model.bucket is required",
                   "model.path: model.path is required",
                   "autoscaling.min: autoscaling.min must be at least 1",
                   "autoscaling.max: autoscaling.max must be at least 1"}));
}

TEST(DeploymentRules, names_and_ids_have_their_forms) {
  EXPECT_EQ(refused([](Request& request) { request.set_id("x"); }),
            line("id", "must be a valid UUID"));
  EXPECT_EQ(refused([](Request& request) { request.set_name("a.b"); }),
            Lines{"name: name" + label_form});
  EXPECT_EQ(refused([](Request& request) { request.add_gateway_ids("x"); }),
            line("gatewayIds[1]", "must be a valid UUID"));
  EXPECT_EQ(refused([](Request& request) {
              request.add_gateway_ids("5B0E7C1E-4A0F-4A5E-9A57-0D3F1C1F8E21");
            }),
            line("gatewayIds", "must not contain duplicates"));
}

TEST(DeploymentRules, the_engine_and_its_version_must_be_advertised) {
  EXPECT_EQ(refused([](Request& request) { request.mutable_runtime()->set_engine("tgi"); }),
            line("runtime.engine", "must be one of: dynamo-vllm, vllm"));
  EXPECT_EQ(refused([](Request& request) { request.mutable_runtime()->set_version("v1"); }),
            line("runtime.version", "must be a valid semantic version"));
  EXPECT_EQ(refused([](Request& request) { request.mutable_runtime()->set_version("9.9.9"); }),
            line("runtime.version", "\"9.9.9\" is not available for engine \"vllm\""));
}

TEST(DeploymentRules, a_missing_version_is_filled_in_only_if_configured) {
  const auto without = [](Request& request) { request.mutable_runtime()->clear_version(); };
  EXPECT_EQ(refused(without), line("runtime.version", "is required"));
  ServiceOptions options;
  options.default_runtime_version = true;
  EXPECT_EQ(refused(without, options), Lines{});
  EXPECT_EQ(default_version("vllm", test_catalogue()), "0.8.5");
  EXPECT_EQ(default_version("tgi", test_catalogue()), "");
}

TEST(DeploymentRules, engine_configuration_takes_advertised_keys_alone) {
  const auto with = [](const std::string& key, const std::string& value) {
    return [key, value](Request& request) {
      (*request.mutable_runtime()->mutable_engine_config())[key] = value;
    };
  };
  EXPECT_EQ(refused(with("max-model-len", "8192")), Lines{});
  EXPECT_EQ(refused(with("port", "1")),
            line("runtime.engineConfig[\"port\"]", "is not an allowed key for engine \"vllm\""));
  EXPECT_EQ(refused(with("a b", "1")), line("runtime.engineConfig[\"a b\"]", "is not a valid key"));
  EXPECT_EQ(refused(with("max-model-len", std::string(1025, 'x'))),
            line("runtime.engineConfig[\"max-model-len\"]", "must be at most 1024 characters"));
  EXPECT_EQ(refused(with("max-model-len", "$(HOME)")),
            line("runtime.engineConfig[\"max-model-len\"]", "must not contain \"$(\""));
}

TEST(DeploymentRules, the_environment_takes_advertised_names_alone) {
  const auto with = [](const std::string& key, const std::string& value) {
    return [key, value](Request& request) {
      (*request.mutable_runtime()->mutable_engine_env())[key] = value;
    };
  };
  EXPECT_EQ(refused(with("VLLM_LOGGING_LEVEL", "DEBUG")), Lines{});
  EXPECT_EQ(
      refused(with("LD_PRELOAD", "x")),
      line("runtime.engineEnv[\"LD_PRELOAD\"]", "is not an allowed variable for engine \"vllm\""));
  EXPECT_EQ(refused(with("1A", "x")), line("runtime.engineEnv[\"1A\"]", "is not a valid key"));
  EXPECT_EQ(refused(with("VLLM_LOGGING_LEVEL", "a$(b)")),
            line("runtime.engineEnv[\"VLLM_LOGGING_LEVEL\"]", "must not contain \"$(\""));
}

TEST(DeploymentRules, a_flood_of_bad_keys_gets_a_short_answer) {
  const Lines lines = refused([](Request& request) {
    for (int i = 0; i < 1000; ++i) {
      (*request.mutable_runtime()->mutable_engine_env())["K" + std::to_string(i)] = "";
    }
  });
  ASSERT_EQ(lines.size(), errors::violations_max);
  EXPECT_EQ(lines.front(),
            "runtime.engineEnv: runtime.engineEnv must contain at most 100 variables");
}

TEST(DeploymentRules, gpus_are_a_power_of_two_that_fits_the_instance) {
  const auto gpus = [](const std::string& engine, std::uint32_t count) {
    return [engine, count](Request& request) {
      request.mutable_runtime()->set_engine(engine);
      request.mutable_resources()->set_gpu_count(count);
    };
  };
  EXPECT_EQ(refused(gpus("vllm", 4)), Lines{});
  EXPECT_EQ(refused(gpus("vllm", 3)), line("resources.gpuCount", "must be one of: 1, 2, 4, 8, 16"));
  EXPECT_EQ(refused(gpus("vllm", 8)),
            line("resources.gpuCount", "must be at most 4 for instance type \"gb200-4x\""));
  EXPECT_EQ(refused(gpus("dynamo-vllm", 16)), Lines{});
}

TEST(DeploymentRules, a_model_has_a_name_a_bucket_and_a_safe_path) {
  const auto model = [](const std::function<void(pb::DeploymentModel&)>& change) {
    return refused([&change](Request& request) { change(*request.mutable_model()); });
  };
  EXPECT_EQ(model([](auto& m) { m.set_name("abc"); }),
            line("model.name", "must be at least 4 characters"));
  EXPECT_EQ(model([](auto& m) { m.set_name(std::string(64, 'a')); }),
            line("model.name", "must be at most 63 characters"));
  EXPECT_EQ(model([](auto& m) { m.set_name("a b c"); }),
            line("model.name", "must be letters, digits or any of . _ : / -"));
  EXPECT_EQ(model([](auto& m) { m.set_bucket("my.bucket"); }),
            Lines{"model.bucket: model.bucket" + label_form});
  for (const char* path : {"..", "../a", "a/..", "a/../b"}) {
    EXPECT_EQ(model([path](auto& m) { m.set_path(path); }),
              line("model.path", "must not contain path traversal (..) segments"));
  }
}

TEST(DeploymentRules, autoscaling_and_traffic_have_bounds) {
  const auto scaling = [](const std::function<void(pb::DeploymentAutoscaling&)>& change) {
    return refused([&change](Request& request) { change(*request.mutable_autoscaling()); });
  };
  EXPECT_EQ(scaling([](auto& a) { a.set_min(5); }),
            line("autoscaling.max", "must be greater than or equal to min"));
  EXPECT_EQ(scaling([](auto& a) { a.set_priority(1001); }),
            line("autoscaling.priority", "must be at most 1000"));
  EXPECT_EQ(scaling([](auto& a) {
              a.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED);
              a.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_RESERVED);
              a.add_capacity_classes(pb::DeploymentAutoscaling::CAPACITY_CLASS_UNSPECIFIED);
              a.add_capacity_classes(static_cast<pb::DeploymentAutoscaling::CapacityClass>(9));
            }),
            (Lines{"autoscaling.capacityClasses: autoscaling.capacityClasses must not contain "
                   "duplicates",
                   "autoscaling.capacityClasses[2]: autoscaling.capacityClasses[2] must be one "
                   "of: CAPACITY_CLASS_RESERVED, CAPACITY_CLASS_ON_DEMAND",
                   "autoscaling.capacityClasses[3]: autoscaling.capacityClasses[3] must be one "
                   "of: CAPACITY_CLASS_RESERVED, CAPACITY_CLASS_ON_DEMAND"}));
  EXPECT_EQ(refused([](Request& request) { request.mutable_traffic()->set_weight(1001); }),
            line("traffic.weight", "must be at most 1000"));
  EXPECT_EQ(refused([](Request& request) {
              request.mutable_traffic()->set_weight(1000);
              request.mutable_autoscaling()->set_priority(1000);
              request.mutable_autoscaling()->set_min(4);
            }),
            Lines{});
}

// A concurrency of 0 is one that is left out: the wire cannot tell them apart.
TEST(DeploymentRules, X10_autoscaling_that_makes_no_sense_is_refused_by_field) {
  const auto scaling = [](const std::function<void(pb::DeploymentAutoscaling&)>& change) {
    return refused([&change](Request& request) { change(*request.mutable_autoscaling()); });
  };
  EXPECT_EQ(scaling([](auto& a) { a.set_min(0); }), line("autoscaling.min", "must be at least 1"));
  EXPECT_EQ(scaling([](auto& a) {
              a.set_min(3);
              a.set_max(2);
            }),
            line("autoscaling.max", "must be greater than or equal to min"));
  EXPECT_EQ(scaling([](auto& a) { a.set_max(0); }), line("autoscaling.max", "must be at least 1"));
  EXPECT_EQ(scaling([](auto& a) { a.set_priority(1001); }),
            line("autoscaling.priority", "must be at most 1000"));
  EXPECT_EQ(scaling([](auto& a) { a.set_concurrency(0); }), Lines{});
}

TEST(DeploymentRules, an_update_needs_an_id) {
  EXPECT_EQ(
      violations_of(validate(update_of(deployment_request(gateway_id), ""), test_catalogue(), {})),
      line("id", "is required"));
}

}  // namespace
}  // namespace staithe::service
