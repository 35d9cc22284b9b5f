#include "gateway/hints.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace staithe::gateway {
namespace {

enum class What : std::uint8_t { waiting, running, kv_use };

struct Name {
  std::string_view name;
  What what;
};

// https://docs.vllm.ai/en/latest/usage/metrics.html (gpu_cache_usage_perc is what older ones say),
// https://docs.sglang.ai/references/production_metrics.html,
// https://github.com/ggml-org/llama.cpp/tree/master/tools/server#get-metrics-prometheus-compatible-metrics-exporter
constexpr std::array<Name, 9> names = {{
    {"vllm:num_requests_waiting", What::waiting},
    {"vllm:num_requests_running", What::running},
    {"vllm:kv_cache_usage_perc", What::kv_use},
    {"vllm:gpu_cache_usage_perc", What::kv_use},
    {"sglang:num_queue_reqs", What::waiting},
    {"sglang:num_running_reqs", What::running},
    {"sglang:token_usage", What::kv_use},
    {"llamacpp:requests_deferred", What::waiting},
    {"llamacpp:requests_processing", What::running},
}};

// The value of a line `name{labels} value [timestamp]`, of which `rest` stands behind the name. A
// label's value may hold anything, quoted.
std::optional<double> value_of(std::string_view rest) {
  if (rest.starts_with('{')) {
    bool is_quoted = false;
    std::size_t at = 1;
    for (; at < rest.size() && (is_quoted || rest[at] != '}'); ++at) {
      if (is_quoted && rest[at] == '\\') {
        ++at;
      } else if (rest[at] == '"') {
        is_quoted = !is_quoted;
      }
    }
    rest.remove_prefix(std::min(at + 1, rest.size()));
  }
  const auto begin = rest.find_first_not_of(" \t");
  if (begin == 0 || begin == std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(rest.data() + begin, rest.data() + rest.size(), value);
  if (error != std::errc{} || !std::isfinite(value) || value < 0) return std::nullopt;
  return value;
}

}  // namespace

void EngineHints::update(const EngineReading& reading, Instant now) {
  waiting_.store(reading.waiting, std::memory_order_relaxed);
  running_.store(reading.running, std::memory_order_relaxed);
  kv_permille_.store(reading.kv_permille, std::memory_order_relaxed);
  read_at_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

std::optional<EngineReading> EngineHints::fresh(Instant now) const {
  const Instant::rep read_at = read_at_.load(std::memory_order_relaxed);
  if (read_at == 0 || now.time_since_epoch() - Instant::duration(read_at) > fresh_for) {
    return std::nullopt;
  }
  return EngineReading{.waiting = waiting_.load(std::memory_order_relaxed),
                       .running = running_.load(std::memory_order_relaxed),
                       .kv_permille = kv_permille_.load(std::memory_order_relaxed)};
}

bool EngineHints::claim(Instant now, Duration interval) {
  Instant::rep due = next_claim_at_.load(std::memory_order_relaxed);
  return due <= now.time_since_epoch().count() &&
         next_claim_at_.compare_exchange_strong(due, (now + interval).time_since_epoch().count(),
                                                std::memory_order_relaxed);
}

void EngineHints::rest_until(Instant time) {
  next_claim_at_.store(time.time_since_epoch().count(), std::memory_order_relaxed);
}

std::optional<EngineReading> parse_engine_metrics(std::string_view text) {
  constexpr double count_max = 1e6;
  double waiting = 0;
  double running = 0;
  double kv_use = 0;
  bool has_count = false;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    for (const Name& one : names) {
      if (!line.starts_with(one.name)) continue;
      const auto value = value_of(line.substr(one.name.size()));
      if (!value) continue;
      has_count |= one.what != What::kv_use;
      if (one.what == What::waiting) waiting += *value;
      if (one.what == What::running) running += *value;
      if (one.what == What::kv_use) kv_use = std::max(kv_use, *value);
    }
  }
  if (!has_count) return std::nullopt;
  return EngineReading{
      .waiting = static_cast<std::uint32_t>(std::min(waiting, count_max)),
      .running = static_cast<std::uint32_t>(std::min(running, count_max)),
      .kv_permille = static_cast<std::uint32_t>(std::lround(std::min(kv_use, 1.0) * 1000))};
}

}  // namespace staithe::gateway
