#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"

namespace staithe::gateway {

// What an engine says of itself.
struct EngineReading {
  std::uint32_t waiting = 0;  // requests
  std::uint32_t running = 0;
  std::uint32_t kv_permille = 0;  // of its KV cache in use by running requests
  bool operator==(const EngineReading&) const = default;
};

// The last reading of one engine, with its time. Any thread; readers may see the parts of two
// readings.
class EngineHints {
 public:
  // An older reading says less than our own counts.
  static constexpr Duration fresh_for = std::chrono::seconds(3);

  void update(const EngineReading& reading, Instant now);
  // Nothing when there is none, or none that is fresh.
  std::optional<EngineReading> fresh(Instant now) const;

  // Whether it is the caller's turn to ask the engine: of several, one is told so, and then nobody
  // for `interval`.
  bool claim(Instant now, Duration interval);
  // Nobody is to ask before.
  void rest_until(Instant time);

 private:
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint32_t> running_{0};
  std::atomic<std::uint32_t> kv_permille_{0};
  std::atomic<Instant::rep> read_at_{0};  // 0: never
  std::atomic<Instant::rep> next_claim_at_{0};
};

// Finds the reading in an engine's metrics (Prometheus text format): those of vLLM, SGLang and
// llama.cpp's server. Several series of one name, as a vLLM with more than one engine core has
// them, are added up; of the KV use the greatest counts. Nothing if there is no number of requests.
std::optional<EngineReading> parse_engine_metrics(std::string_view text);

}  // namespace staithe::gateway
