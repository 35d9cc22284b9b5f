#include "runtime/local/inventory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/encoding.h"
#include "runtime/engine.h"
#include "runtime/local/process.h"

namespace staithe::runtime {
namespace {

// Lower-case letters, digits and single dashes, as in host labels.
std::string to_label(std::string_view text) {
  std::string label;
  for (const char letter : to_lower(text)) {
    const bool is_plain = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
    if (is_plain) {
      label += letter;
    } else if (!label.empty() && label.back() != '-') {
      label += '-';
    }
  }
  if (label.ends_with('-')) label.pop_back();
  return label;
}

std::string host_label() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "local";
  constexpr std::size_t label_bytes_max = 63;
  const std::string label = to_label(name).substr(0, label_bytes_max);
  return label.empty() ? "local" : label;
}

// A machine without NVIDIA's tool, or whose driver does not answer, has no GPUs for us.
std::vector<std::string> detect_gpus(std::string_view search_path) {
  constexpr int timeout_ms = 15'000;
  std::vector<std::string> names;
  const auto program = find_program("nvidia-smi", search_path);
  if (!program.has_value()) return names;
  const auto output =
      run_for_output({.program = *program,
                      .arguments = {"nvidia-smi", "--query-gpu=name", "--format=csv,noheader"},
                      .environment = {fmt::format("PATH={}", search_path), "LC_ALL=C"}},
                     timeout_ms);
  if (!output.has_value()) return names;
  for (std::string_view rest = *output; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!to_label(line).empty()) names.emplace_back(line);
  }
  return names;
}

Result<std::string> checked_zone(std::string_view text) {
  std::string zone = to_upper(text);
  if (!is_zone(zone)) {
    return Error{.code = Code::invalid_argument,
                 .message = fmt::format("zone {} is not a name that clients accept: write it like "
                                        "US-LOCAL-01A",
                                        text)};
  }
  return zone;
}

Result<Inventory> declare_nodes(const std::vector<VirtualNodes>& groups) {
  Inventory inventory;
  std::map<std::string, std::uint32_t> counts;  // groups may repeat a zone and type
  for (const VirtualNodes& group : groups) {
    TRY_ASSIGN(const std::string zone, checked_zone(group.zone));
    const std::string prefix = to_label(fmt::format("{}-{}", zone, group.instance_type));
    for (std::uint32_t i = 0; i < group.count; ++i) {
      inventory.nodes.push_back({.id = fmt::format("{}-{}", prefix, ++counts[prefix]),
                                 .zone = zone,
                                 .instance_type = to_lower(group.instance_type),
                                 .gpu_count = group.gpus,
                                 .owner_organization = group.owner_organization,
                                 .source = model::NodeSource::declared});
    }
  }
  return inventory;
}

}  // namespace

Result<Inventory> take_inventory(const InventoryOptions& options, std::string_view search_path) {
  if (!options.virtual_nodes.empty()) return declare_nodes(options.virtual_nodes);

  Inventory inventory;
  TRY_ASSIGN(const std::string zone, checked_zone(options.zone));
  const auto gpus = detect_gpus(search_path);
  inventory.nodes.push_back(
      {.id = options.node_id.empty() ? host_label() : options.node_id,
       .zone = zone,
       .instance_type =
           options.instance_type.empty() ? instance_type_of(gpus) : to_lower(options.instance_type),
       // Without GPUs it has one slot, which a replica takes as it would take a GPU.
       .gpu_count = std::max<std::uint32_t>(static_cast<std::uint32_t>(gpus.size()), 1)});
  if (!gpus.empty()) inventory.gpu_node_id = inventory.nodes.front().id;
  return inventory;
}

std::string instance_type_of(const std::vector<std::string>& gpu_names) {
  if (gpu_names.empty()) return "cpu-1x";
  std::string label = to_label(gpu_names.front());
  for (const std::string_view maker : {"nvidia-", "geforce-"}) {
    if (label.starts_with(maker)) label.erase(0, maker.size());
  }
  return fmt::format("{}-{}x", label, gpu_names.size());
}

bool is_zone(std::string_view zone) {
  if (zone == "RNO2A") return true;
  const auto take = [&zone](auto is_wanted) {
    const auto end = std::find_if_not(zone.begin(), zone.end(), is_wanted);
    const auto count = static_cast<std::size_t>(end - zone.begin());
    zone.remove_prefix(count);
    return count;
  };
  const auto is_letter = [](char letter) { return letter >= 'A' && letter <= 'Z'; };
  const auto is_digit = [](char letter) { return letter >= '0' && letter <= '9'; };
  const auto is_dash = [](char letter) { return letter == '-'; };
  return take(is_letter) == 2 && take(is_dash) == 1 && take(is_letter) > 0 && take(is_dash) == 1 &&
         take(is_digit) > 0 && take(is_letter) > 0 && zone.empty();
}

}  // namespace staithe::runtime
