#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/resource.h"

namespace staithe::model {

struct DeploymentRuntime {
  std::string engine;
  std::string version;
  std::map<std::string, std::string> engine_config;
  std::map<std::string, std::string> engine_env;

  bool operator==(const DeploymentRuntime&) const = default;
};

struct DeploymentResources {
  std::string instance_type;  // as written; compare with fold_instance()
  std::uint32_t gpu_count = 0;

  bool operator==(const DeploymentResources&) const = default;
};

struct DeploymentModel {
  std::string name;
  std::string bucket;
  std::string path;

  bool operator==(const DeploymentModel&) const = default;
};

enum class CapacityClass : std::uint8_t { unspecified = 0, reserved = 1, on_demand = 2 };

struct DeploymentAutoscaling {
  std::uint32_t min = 0;
  std::uint32_t max = 0;
  std::uint32_t priority = 0;
  std::vector<CapacityClass> capacity_classes;  // in order of preference; empty: any
  std::uint32_t concurrency = 0;                // 0: the engine's default

  bool operator==(const DeploymentAutoscaling&) const = default;
};

struct DeploymentTraffic {
  std::uint32_t weight = 0;

  bool operator==(const DeploymentTraffic&) const = default;
};

struct DeploymentSpec {
  Id id;
  std::string name;
  std::vector<Id> gateway_ids;  // lower case; the client's order
  DeploymentRuntime runtime;
  DeploymentResources resources;
  DeploymentModel model;
  DeploymentAutoscaling autoscaling;
  DeploymentTraffic traffic;
  std::string organization_id;
  bool disabled = false;

  bool operator==(const DeploymentSpec&) const = default;
};

struct DeploymentStatus : StatusBase {
  bool operator==(const DeploymentStatus&) const = default;
};

// A model and how to run and serve it.
struct Deployment {
  DeploymentSpec spec;
  DeploymentStatus status;

  bool operator==(const Deployment&) const = default;
};

}  // namespace staithe::model
