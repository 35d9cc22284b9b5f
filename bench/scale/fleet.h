#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

#include "base/clock.h"
#include "reconcile/demand.h"
#include "trace.h"

namespace staithe::bench {

// How a replica serves. Prompts and answers go at fixed speeds whatever else runs beside them,
// which is what continuous batching comes to as long as no more than `concurrency` requests share a
// replica; beyond that they wait at the gateway, first come first served.
struct ServiceModel {
  std::uint32_t concurrency = 16;
  Duration overhead = std::chrono::milliseconds{50};
  double prompt_tokens_per_second = 7000;
  double answer_tokens_per_second = 40;
  Duration cold_start = std::chrono::seconds{30};  // from the order until the first request
  // A request is served well if its first token is there after this and a share of its length.
  Duration first_token_max = std::chrono::seconds{2};
  double slo_prompt_tokens_per_second = 3500;

  Duration prefill(const Request& request) const;
  Duration service(const Request& request) const;
  // How long it may wait for a replica.
  Duration wait_max(const Request& request) const;
};

struct Limits {
  std::uint32_t min = 1;
  std::uint32_t max = 20;
  std::uint32_t begin = 1;  // ready when the trace begins, and kept for the warm-up
  Duration warm_up = std::chrono::minutes{2};  // scalers look on, and what they say does not count
};

// What a scaler may know.
struct Observation {
  Instant now;
  reconcile::DemandReading demand;
  std::uint32_t ready = 0;
  std::uint32_t starting = 0;
  std::uint32_t wanted = 0;  // what it said last
};

// A policy. Asked every second, whatever its own period is.
class Scaler {
 public:
  virtual ~Scaler() = default;
  virtual std::uint32_t wanted(const Observation& seen) = 0;
};

struct Outcome {
  double attainment = 0;     // share of requests served well
  double replica_hours = 0;  // from the order of a replica until it is gone
  std::uint32_t changes = 0;
  std::uint32_t direction_changes = 0;  // up after down or down after up
  double wait_p99_s = 0;
  std::size_t served_well = 0;
};

struct Moment {
  Duration at{0};
  std::uint64_t in_flight = 0;
  std::uint32_t ready = 0;
  std::uint32_t wanted = 0;
};

// One deployment behind a gateway, with a clock that jumps from event to event. Replicas that are
// no longer wanted go before they are ready if there are such, else finish what they have first.
// Time after the last arrival costs nothing and is simulated only until everything is served.
Outcome run_fleet(const Trace& trace, const ServiceModel& model, const Limits& limits,
                  Scaler& scaler, const std::function<void(const Moment&)>& on_second = {});

}  // namespace staithe::bench
