#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "reconcile/demand.h"
#include "reconcile/peak_window.h"

namespace staithe::reconcile {

// How eagerly the number of replicas follows demand.
struct ScaleOptions {
  Duration interval = std::chrono::seconds{1};  // between two evaluations
  // More replicas are ordered once demand has asked for them all this time; 0: at once.
  Duration up_window{0};
  // Fewer are kept once nothing more was needed all this time.
  Duration down_window = std::chrono::seconds{60};
  // Replicas that start slowly are kept for longer, so many times as long as their start takes and
  // up to a limit, as far as what they serve needs them: what is let go too early is
  // missing for as long as it takes to come back.
  double load_window_starts = 10;
  Duration load_window_max = std::chrono::minutes{10};
  // Demand within this share of what the present number is for changes nothing at once. Above it,
  // but within, more replicas are ordered when that has lasted for `tolerated_for`.
  double tolerance = 0.1;
  Duration tolerated_for = std::chrono::seconds{30};
  // The share of a replica's `concurrency` that is meant to be in use.
  double utilization = 1.0;
  // Replicas that were ordered and are still starting hold the number up for so long at most.
  Duration start_max = std::chrono::minutes{30};
};

// What one evaluation goes by.
struct ScaleInput {
  std::uint32_t min = 1;
  std::uint32_t max = 1;
  std::uint32_t concurrency = 16;  // requests at once that a replica is for; at least 1
  std::uint32_t ready = 0;         // of those that are to stay
  // Placed and on their way: to be started, loading, coming back. Neither those that found no room
  // nor those that failed.
  std::uint32_t starting = 0;
  // Cumulative; absent: the gateways do not answer.
  std::optional<DemandReading> demand;
  Instant now;
  Timestamp wall_now;  // the same moment as people read it
};

// What one evaluation leaves for the next one; begins empty, and is forgotten by a restart.
struct ScaleState {
  std::uint32_t wanted = 0;  // 0: nothing was decided yet
  // What the latest evaluation went by; a change is evaluated at once.
  std::uint32_t min = 0;
  std::uint32_t max = 0;
  std::uint32_t concurrency = 0;
  std::optional<Instant> evaluated_at;
  std::optional<DemandReading> reading;
  double demand = 0;                   // requests at once, on average since the evaluation before
  double load = 0;                     // requests served at once, averaged over some time
  double load_weight = 0;              // of what was seen so far: 1 after some load windows
  PeakWindow peaks;                    // of demand, over ScaleOptions::down_window
  Duration load_window{0};             // in force; at least ScaleOptions::down_window
  PeakWindow loads;                    // of load, over load_window
  std::optional<Instant> known_since;  // demand is known without a gap
  std::optional<Instant> short_since;  // demand is above what is wanted
  double short_peak = 0;               // the highest demand since then
  std::optional<Instant> far_short_since;  // and beyond the tolerance
  double far_short_least = 0;              // the lowest demand since then
  std::uint32_t ready = 0;                 // at the latest call
  std::optional<Instant> raised_at;        // more replicas were ordered last
  std::optional<Instant> starting_since;   // some have been starting without a break
  std::optional<Instant> started_at;       // some were starting last
  bool is_start_measured = false;          // since starting_since
  std::optional<Duration> start_time;      // from the order of a replica until it is ready
  bool is_at_max = false;
  std::string reason;
};

struct ScaleDecision {
  std::uint32_t wanted = 0;  // min <= wanted <= max
  std::string reason;        // one line for people
  bool is_at_max = false;    // demand asks for more than `max`
  // When to evaluate again; absent: not before a request comes or something in the input changes.
  std::optional<Duration> look_again;
};

// How many replicas a deployment should have: enough for the requests that its gateways hold, at
// least `min`, at most `max`.
//
// The number follows the average of requests in flight and waiting over the last interval, divided
// by `concurrency`. It goes up with the first evaluation that finds more than the present number
// and the tolerance carry, and down when the highest demand of `down_window` needs fewer (the
// stabilization window of Kubernetes' HorizontalPodAutoscaler; see "Algorithm details" in
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/).
//
// The load, which is what is being served, averaged, decides how long replicas are kept that take
// long to start: a queue that was worked off is no reason to keep any.
//
// Replicas that are starting were ordered already: nothing is ordered a second time for the same
// demand, and neither while they start nor in the window after is anything judged superfluous. A
// missing signal changes nothing, and the time it was missing does not count as one of low demand.
//
// Without a clock and without I/O: everything it knows stands in the arguments. May be called at
// any time; what comes before the next evaluation is due gets the last decision within the bounds
// of today's `min` and `max`.
ScaleDecision autoscale(const ScaleOptions& options, const ScaleInput& input, ScaleState& state);

}  // namespace staithe::reconcile
