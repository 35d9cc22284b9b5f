#include "scalers.h"

#include <algorithm>
#include <cmath>

namespace staithe::bench {
namespace {

using namespace std::chrono_literals;

std::uint32_t rounded_up(double replicas) {
  return static_cast<std::uint32_t>(std::ceil(replicas));
}

}  // namespace

HindsightScaler::HindsightScaler(const Trace& trace, const ServiceModel& model) : model_(model) {
  std::vector<std::pair<Duration, int>> changes;
  for (const Request& request : trace.requests) {
    changes.emplace_back(request.at, 1);
    changes.emplace_back(request.at + model.service(request), -1);
  }
  std::sort(changes.begin(), changes.end());
  int count = 0;
  for (const auto& [at, change] : changes) {
    const auto second = static_cast<std::size_t>(at / 1s);
    while (in_flight_.size() <= second) in_flight_.push_back(static_cast<std::uint32_t>(count));
    count += change;
    in_flight_[second] = std::max(in_flight_[second], static_cast<std::uint32_t>(count));
  }
}

std::uint32_t HindsightScaler::wanted(const Observation& seen) {
  if (!begin_) begin_ = seen.now - 1s;
  const auto from = static_cast<std::size_t>((seen.now - *begin_) / 1s);
  const auto until =
      std::min(in_flight_.size(), from + static_cast<std::size_t>(model_.cold_start / 1s) + 2);
  std::uint32_t most = 0;
  for (std::size_t i = from; i < until; ++i) most = std::max(most, in_flight_[i]);
  return (most + model_.concurrency - 1) / model_.concurrency;
}

std::uint32_t StaitheScaler::wanted(const Observation& seen) {
  return reconcile::autoscale(options_,
                              {.min = limits_.min,
                               .max = limits_.max,
                               .concurrency = concurrency_,
                               .ready = seen.ready,
                               .starting = seen.starting,
                               .demand = seen.demand,
                               .now = seen.now},
                              state_)
      .wanted;
}

std::uint32_t HpaScaler::wanted(const Observation& seen) {
  const std::uint32_t present = seen.wanted;
  const double value = metric(seen);
  if (synced_at_ && seen.now - *synced_at_ < 15s) return present;
  synced_at_ = seen.now;
  const bool is_tolerated = std::abs(value / (target_ * present) - 1) <= 0.1;
  const std::uint32_t now = is_tolerated ? present : rounded_up(value / target_);
  // As in the original, the number there is at the first sync is the first recommendation.
  if (recommended_.empty()) recommended_.emplace_back(seen.now, present);
  recommended_.emplace_back(seen.now, now);
  while (recommended_.front().first <= seen.now - 300s) recommended_.pop_front();
  std::uint32_t wanted = now;
  if (now < present) {
    for (const auto& [at, count] : recommended_) wanted = std::max(wanted, count);
    wanted = std::min(wanted, present);
  }
  return std::clamp(wanted, 1u, present + std::max(present, 4u));
}

double HpaScaler::metric(const Observation& seen) {
  return static_cast<double>(seen.demand.in_flight());
}

double KedaScaler::metric(const Observation& seen) {
  if (!polled_at_ || seen.now - *polled_at_ >= 30s) {
    polled_at_ = seen.now;
    polled_ = HpaScaler::metric(seen);
  }
  return polled_;
}

std::uint32_t KpaScaler::wanted(const Observation& seen) {
  constexpr Duration stable_window = 60s;
  constexpr Duration panic_window = 6s;
  constexpr double panic_threshold = 2;
  constexpr double up_rate = 1000;
  constexpr double down_rate = 2;

  readings_.push_back(seen.demand);
  while (readings_.front().at < seen.now - stable_window) readings_.pop_front();
  if (readings_.size() < 2 || (evaluated_at_ && seen.now - *evaluated_at_ < 2s)) {
    return seen.wanted;
  }
  evaluated_at_ = seen.now;
  const double ready = std::max(1u, seen.ready);
  const auto most = rounded_up(up_rate * ready);
  const auto least = static_cast<std::uint32_t>(std::floor(ready / down_rate));
  const std::uint32_t panic_need = rounded_up(average(panic_window) / target_);
  const std::uint32_t stable =
      std::clamp(rounded_up(average(stable_window) / target_), least, most);
  if (panic_need / ready >= panic_threshold) {
    if (!panicked_at_) panic_count_ = seen.ready;
    panicked_at_ = seen.now;
  } else if (panicked_at_ && seen.now - *panicked_at_ > stable_window) {
    panicked_at_.reset();
  }
  if (!panicked_at_) return std::max(1u, stable);
  // In a panic the number only grows.
  panic_count_ = std::max({panic_count_, std::clamp(panic_need, least, most), stable});
  return panic_count_;
}

double KpaScaler::average(Duration window) const {
  const reconcile::DemandReading& last = readings_.back();
  const auto first =
      std::find_if(readings_.begin(), readings_.end(),
                   [&last, window](const auto& reading) { return reading.at >= last.at - window; });
  const std::chrono::duration<double, std::micro> elapsed = last.at - first->at;
  if (elapsed.count() <= 0) return static_cast<double>(last.in_flight());
  return static_cast<double>(last.busy_us - first->busy_us) / elapsed.count();
}

}  // namespace staithe::bench
