#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/node.h"

namespace staithe::runtime {

// Machines that are declared rather than detected: each runs its engines on this one. For
// emulation and for trying out placement.
struct VirtualNodes {
  std::string zone;
  std::string instance_type;
  std::uint32_t gpus = 1;
  std::uint32_t count = 1;
  std::string owner_organization;  // of a customer's own machines; empty: managed
};

struct InventoryOptions {
  std::string zone = "US-LOCAL-01A";        // of the detected machine
  std::string node_id;                      // of the detected machine; empty: its host name
  std::string instance_type;                // of the detected machine; empty: made from its GPUs
  std::vector<VirtualNodes> virtual_nodes;  // if any, nothing is detected
};

struct Inventory {
  std::vector<model::Node> nodes;
  // The node whose GPU slots are real GPUs, so that engines on it are told which are theirs; empty:
  // there are none.
  model::Id gpu_node_id;
};

// INVALID_ARGUMENT for a zone whose spelling clients of the API would refuse.
Result<Inventory> take_inventory(const InventoryOptions& options, std::string_view search_path);

// The instance type made of what nvidia-smi calls the GPUs, one name per line: "gb200-4x".
std::string instance_type_of(const std::vector<std::string>& gpu_names);
// `^([A-Z]{2}-[A-Z]+-[0-9]+[A-Z]+|RNO2A)$`, the names the API takes, once in upper case.
bool is_zone(std::string_view zone);

}  // namespace staithe::runtime
