#include "reconcile/autoscale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/time_text.h"

namespace staithe::reconcile {
namespace {

constexpr std::chrono::seconds load_average{20};

// Requests at once, on average since the reading before. An interval much longer than it should be
// was either idle, or this thread stood still: what counts then is how many there are now.
double demand_between(const DemandReading& before, const DemandReading& now, Duration interval) {
  const Duration elapsed = now.at - before.at;
  if (elapsed <= Duration::zero()) return static_cast<double>(now.in_flight());
  const double average = static_cast<double>(now.busy_us - before.busy_us) * 1e3 /
                         static_cast<double>(elapsed.count());
  if (elapsed <= 2 * interval) return average;
  return std::max(average, static_cast<double>(now.in_flight()));
}

// Counters that went back belong to another process than before.
bool goes_on(const DemandReading& before, const DemandReading& now) {
  return now.at >= before.at && now.started >= before.started && now.ended >= before.ended &&
         now.busy_us >= before.busy_us;
}

// One evaluation.
class Evaluation {
 public:
  Evaluation(const ScaleOptions& options, const ScaleInput& input, ScaleState& state)
      : options_(options),
        input_(input),
        state_(state),
        per_replica_(std::max(1.0, static_cast<double>(input.concurrency)) *
                     std::clamp(options.utilization, 0.01, 1.0)) {}

  ScaleDecision decide() {
    begin();
    if (is_due()) evaluate();
    ScaleDecision decision{.wanted = state_.wanted,
                           .reason = state_.reason,
                           .is_at_max = state_.is_at_max,
                           .look_again = next_look()};
    return decision;
  }

 private:
  bool is_due() const {
    return !state_.evaluated_at || input_.now - *state_.evaluated_at >= options_.interval ||
           state_.min != input_.min || state_.max != input_.max ||
           state_.concurrency != input_.concurrency;
  }

  // After a restart what exists is right until proven otherwise.
  void begin() {
    if (state_.wanted == 0) {
      state_.wanted = input_.ready + input_.starting;
      state_.peaks = PeakWindow(options_.down_window);
      state_.load_window = options_.down_window;
      state_.loads = PeakWindow(state_.load_window);
      state_.raised_at = input_.now;
      state_.ready = input_.ready;
      state_.reason = "demand is not known yet";
    }
    state_.wanted = bounded(state_.wanted);
    watch_starts();
  }

  // How long a start takes: from the order of the first of several until it is ready.
  void watch_starts() {
    if (input_.starting > 0) {
      if (!state_.starting_since) {
        state_.starting_since = input_.now;
        state_.is_start_measured = false;
      }
      state_.started_at = input_.now;
    }
    if (input_.ready > state_.ready && state_.starting_since && !state_.is_start_measured) {
      state_.is_start_measured = true;
      state_.start_time = input_.now - *state_.starting_since;
      fit_load_window(*state_.start_time);
    }
    if (input_.starting == 0) state_.starting_since.reset();
    state_.ready = input_.ready;
  }

  void fit_load_window(Duration start_time) {
    const auto starts = std::chrono::duration_cast<Duration>(
        options_.load_window_starts * std::chrono::duration<double>(start_time));
    const Duration window =
        std::max(options_.down_window, std::min(options_.load_window_max, starts));
    if (window == state_.load_window) return;
    // Of the time before the old window nothing is known any more.
    if (state_.known_since && window > state_.load_window) {
      state_.known_since = std::max(*state_.known_since, input_.now - state_.load_window);
    }
    state_.load_window = window;
    state_.loads = state_.loads.resized(input_.now, window);
  }

  void evaluate() {
    state_.evaluated_at = input_.now;
    state_.min = input_.min;
    state_.max = input_.max;
    state_.concurrency = input_.concurrency;
    if (!read_demand()) return;
    state_.peaks.add(input_.now, state_.demand);
    state_.loads.add(input_.now, state_.load);
    note_shortage();
    if (!scale_up() && !scale_down()) explain_hold();
    judge_max();
  }

  // False: demand is not known.
  bool read_demand() {
    const bool is_known =
        input_.demand && state_.reading && goes_on(*state_.reading, *input_.demand);
    if (is_known) {
      state_.demand = demand_between(*state_.reading, *input_.demand, options_.interval);
      measure_load(*state_.reading, *input_.demand);
      if (!state_.known_since) state_.known_since = input_.now;
    } else {
      state_.known_since.reset();
      state_.short_since.reset();
      state_.far_short_since.reset();
      state_.reason = input_.demand
                          ? fmt::format("holding {} until demand is known", state_.wanted)
                          : fmt::format("holding {}: the gateways do not say what the demand is",
                                        state_.wanted);
    }
    state_.reading = input_.demand;
    return is_known;
  }

  // What the replicas serve, at once and on average.
  void measure_load(const DemandReading& before, const DemandReading& now) {
    const double capacity = static_cast<double>(input_.ready) * std::max(1u, input_.concurrency);
    const double served = std::min(state_.demand, capacity);
    const Duration elapsed = now.at - before.at;
    const double seconds = std::chrono::duration<double>(elapsed).count();
    if (elapsed > 2 * options_.interval) state_.load_weight = 0;
    const double window = std::chrono::duration<double>(load_average).count();
    const double share = -std::expm1(-seconds / window);
    state_.load_weight += share * (1 - state_.load_weight);
    if (state_.load_weight > 0) {
      state_.load += share / state_.load_weight * (served - state_.load);
    }
  }

  std::uint32_t need(double demand) const {
    const double replicas = std::ceil(demand / per_replica_ - 1e-9);
    return static_cast<std::uint32_t>(std::clamp(replicas, 0.0, 1e9));
  }
  std::uint32_t bounded(std::uint32_t replicas) const {
    return std::clamp(replicas, input_.min, std::max(input_.min, input_.max));
  }
  double carried() const { return state_.wanted * per_replica_; }

  // Since when demand has been above what is wanted, and since when beyond the tolerance.
  void note_shortage() {
    if (state_.demand <= carried()) {
      state_.short_since.reset();
      state_.far_short_since.reset();
      return;
    }
    if (!state_.short_since) {
      state_.short_since = input_.now;
      state_.short_peak = 0;
    }
    state_.short_peak = std::max(state_.short_peak, state_.demand);
    if (state_.demand <= carried() * (1 + options_.tolerance)) {
      state_.far_short_since.reset();
      return;
    }
    if (!state_.far_short_since) {
      state_.far_short_since = input_.now;
      state_.far_short_least = state_.demand;
    }
    state_.far_short_least = std::min(state_.far_short_least, state_.demand);
  }

  bool scale_up() {
    double demand = 0;
    if (state_.far_short_since && input_.now - *state_.far_short_since >= options_.up_window) {
      demand = state_.far_short_least;
    }
    if (state_.short_since && input_.now - *state_.short_since >= options_.tolerated_for) {
      demand = std::max(demand, state_.short_peak);
    }
    const std::uint32_t wanted = bounded(need(demand));
    if (wanted <= state_.wanted) return false;
    state_.reason =
        fmt::format("{} needs {}, up from {}", demand_text(demand), need(demand), state_.wanted);
    change_to(wanted);
    return true;
  }

  bool scale_down() {
    if (is_start_held() || !is_window_known()) return false;
    double peak = state_.peaks.peak();
    if (is_start_slow()) peak = std::max(peak, state_.loads.peak());
    const std::uint32_t wanted = bounded(need(peak));
    if (wanted >= state_.wanted || peak > carried() * (1 - options_.tolerance)) return false;
    state_.reason = fmt::format(
        "demand {:.1f} at most in the last {} at {:g} per replica needs {}, down from {}", peak,
        seconds_text(state_.load_window), per_replica_, need(peak), state_.wanted);
    change_to(wanted);
    return true;
  }

  void change_to(std::uint32_t wanted) {
    if (wanted > state_.wanted) state_.raised_at = input_.now;
    state_.wanted = wanted;
    state_.short_since.reset();
    state_.far_short_since.reset();
  }

  bool is_window_known() const {
    return state_.known_since && input_.now - *state_.known_since >= state_.load_window;
  }
  // So slow that what was served before the stabilization window counts too.
  bool is_start_slow() const { return state_.load_window > options_.down_window; }
  // What was ordered is not given up before it has been there for a window.
  bool is_start_held() const {
    return state_.started_at && input_.now < *state_.started_at + options_.down_window &&
           input_.now < *state_.raised_at + options_.start_max;
  }

  void judge_max() {
    const double carried_at_max = std::max(input_.min, input_.max) * per_replica_;
    if (state_.demand > carried_at_max * (1 + options_.tolerance)) {
      state_.is_at_max = true;
    } else if (state_.peaks.peak() <= carried_at_max) {
      state_.is_at_max = false;
    }
  }

  void explain_hold() {
    const std::uint32_t needed = need(state_.demand);
    const std::string demand = fmt::format("{} needs {}", demand_text(state_.demand), needed);
    const std::uint32_t wanted = state_.wanted;
    if (needed > input_.max) {
      state_.reason = fmt::format("{}, max is {}", demand, input_.max);
    } else if (needed > wanted) {
      state_.reason =
          state_.far_short_since
              ? fmt::format("{}, holding {} until that has lasted for {}", demand, wanted,
                            seconds_text(options_.up_window))
              : fmt::format("{}, holding {} unless that lasts for {}: it is within {:.0f} %",
                            demand, wanted, seconds_text(options_.tolerated_for),
                            options_.tolerance * 100);
    } else if (bounded(needed) == wanted) {
      state_.reason = needed < wanted ? fmt::format("{}, min is {}", demand, input_.min) : demand;
    } else {
      state_.reason = fmt::format("{}, holding {} {}", demand, wanted, why_not_fewer());
    }
  }

  std::string why_not_fewer() const {
    if (is_start_held()) {
      if (input_.starting > 0) return fmt::format("while {} of them start", input_.starting);
      return fmt::format("until {}: some are new",
                         clock_text(*state_.started_at + options_.down_window));
    }
    if (!is_window_known()) {
      return fmt::format("until {}: demand is known since {}",
                         clock_text(*state_.known_since + state_.load_window),
                         clock_text(*state_.known_since));
    }
    const double bound = (state_.wanted - 1) * per_replica_;
    const auto peak_until = state_.peaks.has_above_until(bound);
    const auto load_until = is_start_slow() ? state_.loads.has_above_until(bound) : std::nullopt;
    if (load_until && (!peak_until || *peak_until < *load_until)) {
      return fmt::format("until {}: the peak of the last {}, as a start takes {}",
                         clock_text(*load_until), seconds_text(state_.load_window),
                         seconds_text(state_.start_time.value_or(Duration::zero())));
    }
    if (peak_until) {
      return fmt::format("until {}: the peak of the last {}", clock_text(*peak_until),
                         seconds_text(options_.down_window));
    }
    return fmt::format("as the peak of the last {} is within {:.0f} %",
                       seconds_text(state_.load_window), options_.tolerance * 100);
  }

  std::string demand_text(double demand) const {
    return fmt::format("demand {:.1f} at {:g} per replica", demand, per_replica_);
  }
  static std::string seconds_text(Duration time) {
    return fmt::format("{:g} s", std::chrono::duration<double>(time).count());
  }
  // The time of day, in UTC.
  std::string clock_text(Instant at) const {
    const Timestamp time =
        input_.wall_now + std::chrono::duration_cast<std::chrono::microseconds>(at - input_.now);
    return format_timestamp(std::chrono::ceil<std::chrono::seconds>(time)).substr(11, 8);
  }

  // A deployment that is at its minimum without a request needs no look.
  std::optional<Duration> next_look() const {
    const bool is_idle = state_.reading && state_.reading->in_flight() == 0 &&
                         state_.wanted == input_.min && !state_.is_at_max && state_.known_since &&
                         state_.demand == 0;
    if (is_idle) return std::nullopt;
    return std::max(Duration::zero(), *state_.evaluated_at + options_.interval - input_.now);
  }

  const ScaleOptions& options_;
  const ScaleInput& input_;
  ScaleState& state_;
  const double per_replica_;
};

}  // namespace

ScaleDecision autoscale(const ScaleOptions& options, const ScaleInput& input, ScaleState& state) {
  return Evaluation(options, input, state).decide();
}

}  // namespace staithe::reconcile
