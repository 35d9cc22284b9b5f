#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/resource.h"

namespace staithe::model {

// Who says that a machine exists.
enum class NodeSource : std::uint8_t {
  unspecified = 0,
  detected = 1,  // the driver found it
  declared = 2,  // the configuration
  joined = 3,    // an administrator; its record is all there is to know it by
};

// A machine that replicas run on. Its instance type and zone are spelled in their folded form.
struct Node {
  Id id;
  std::string zone;
  std::string instance_type;
  std::uint32_t gpu_count = 0;
  std::string owner_organization;  // empty: managed by the platform; else a customer's own
  bool schedulable = true;         // the driver's word: it is there
  NodeSource source = NodeSource::detected;
  bool is_draining = false;  // an administrator's word: nothing new, and what is there moves away

  bool is_usable() const { return schedulable && !is_draining; }
  bool operator==(const Node&) const = default;
};

// What one replica takes of one node.
struct ReplicaPart {
  Id node_id;
  std::vector<std::uint32_t> gpu_slots;  // ascending

  bool operator==(const ReplicaPart&) const = default;
};

inline std::uint32_t count_gpus(const std::vector<ReplicaPart>& parts) {
  std::size_t count = 0;
  for (const ReplicaPart& part : parts) count += part.gpu_slots.size();
  return static_cast<std::uint32_t>(count);
}

// What the store keeps of one replica: the intent to run it and where. What it is doing right now
// is read off the driver, never stored.
struct Replica {
  Id id;  // derived from its deployment: "<deployment id>-<ordinal>-<spec hash>"
  Id deployment_id;
  std::string organization_id;
  std::vector<ReplicaPart> parts;  // never empty; the first is on its leader's node
  Id claim_id;                     // that holds the leader's node; empty: on demand
  std::uint64_t spec_hash = 0;     // of runtime, resources and model: what a roll-out replaces
  bool draining = false;
  Timestamp created_at;

  bool operator==(const Replica&) const = default;
};

}  // namespace staithe::model
