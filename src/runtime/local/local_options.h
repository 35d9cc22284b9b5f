#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "runtime/local/back_off.h"
#include "runtime/local/inventory.h"
#include "runtime/local/ports.h"

namespace staithe::runtime {

struct ProbeOptions {
  std::chrono::milliseconds timeout{2'000};
  // While the model loads: from `starting_min`, half as much again each time, to `starting_max`.
  std::chrono::milliseconds starting_min{20};
  std::chrono::milliseconds starting_max{500};
  std::chrono::milliseconds ready{2'000};
  std::uint32_t failures_max = 3;  // in a row; then a ready replica is ready no more
};

struct LocalOptions {
  std::string data_directory;  // engines live in its folder `engines`
  std::string search_path;     // colon-separated, for engines and nvidia-smi
  // What engines inherit (PATH, HOME, LANG, LD_LIBRARY_PATH, ...), and nothing else. Variables of
  // our own (STAITHE_*) are never passed on: they can hold tokens.
  std::map<std::string, std::string> environment;
  InventoryOptions inventory;
  PortRange ports{21'000, 21'999};
  std::chrono::milliseconds stop_grace{30'000};  // from TERM to KILL
  std::uint64_t log_bytes_max = 16 * 1024 * 1024;
  ProbeOptions probe;
  BackOffOptions back_off;
};

}  // namespace staithe::runtime
