#include "gateway/demand.h"

#include <algorithm>
#include <chrono>

namespace staithe::gateway {
namespace {

constexpr int reads_max = 1000;
constexpr int time_shift = 16;
constexpr std::uint64_t additions_mask = (std::uint64_t{1} << time_shift) - 1;
constexpr std::uint64_t one_ended = std::uint64_t{1} << 32;

std::uint64_t microseconds(Instant at) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count());
}

std::uint32_t running(std::uint64_t turns) {
  return static_cast<std::uint32_t>(turns);
}

// Each request that runs made one addition, each that ended made two.
std::uint64_t additions(std::uint64_t turns) {
  return running(turns) + 2 * (turns / one_ended);
}

}  // namespace

// All additions are made to `turns_` first and released by the one to `times_`, whose release
// sequence they stay in: a reader of `times_` that looks at `turns_` afterwards sees at least
// those.

void DeploymentDemand::start(Instant now) {
  const std::uint32_t count = running(turns_.fetch_add(1, std::memory_order_relaxed)) + 1;
  std::uint32_t highest = highest_.load(std::memory_order_relaxed);
  while (count > highest &&
         !highest_.compare_exchange_weak(highest, count, std::memory_order_relaxed)) {
  }
  times_.fetch_add(1 - (microseconds(now) << time_shift), std::memory_order_release);
}

void DeploymentDemand::end(Instant now) {
  turns_.fetch_add(one_ended - 1, std::memory_order_relaxed);
  times_.fetch_add(1 + (microseconds(now) << time_shift), std::memory_order_release);
}

std::optional<DeploymentDemand::Raw> DeploymentDemand::read() const {
  for (int i = 0; i < reads_max; ++i) {
    Raw raw;
    raw.turns = turns_.load(std::memory_order_relaxed);
    raw.times = times_.load(std::memory_order_acquire);
    const bool is_whole = ((raw.times ^ additions(raw.turns)) & additions_mask) == 0;
    if (is_whole && turns_.load(std::memory_order_relaxed) == raw.turns) return raw;
  }
  return std::nullopt;
}

void DemandGuard::assign(DeploymentDemand& demand, const net::EventLoop& loop) {
  if (demand_ == &demand) return;
  release();
  demand_ = &demand;
  loop_ = &loop;
  demand.start(loop.now());
}

void DemandGuard::release() {
  if (demand_ == nullptr) return;
  demand_->end(loop_->now());
  demand_ = nullptr;
}

std::shared_ptr<DeploymentDemand> DemandTable::at(const std::string& deployment_id) {
  const std::lock_guard lock(mutex_);
  Entry& entry = by_id_[deployment_id];
  if (entry.demand == nullptr) entry.demand = std::make_shared<DeploymentDemand>();
  return entry.demand;
}

std::optional<DemandTotals> DemandTable::read(std::string_view deployment_id, const Clock& clock) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(deployment_id);
  if (found == by_id_.end()) return DemandTotals{.at = clock.instant()};
  Entry& entry = found->second;
  const auto raw = entry.demand->read();
  if (!raw) return std::nullopt;
  const Instant now = clock.instant();  // not before anything that was read

  const std::uint64_t ended = (raw->turns / one_ended - entry.last.turns / one_ended) % one_ended;
  const std::uint64_t made = 2 * ended + running(raw->turns) - running(entry.last.turns);
  // In units of 2^-16 us, so that what the 48 bits of a time leave out falls off the upper end.
  const std::uint64_t lasted =
      raw->times - entry.last.times - made +
      ((running(raw->turns) * microseconds(now)) << time_shift) -
      ((running(entry.last.turns) * microseconds(entry.totals.at)) << time_shift);
  entry.last = *raw;
  // A loop's time may be some milliseconds behind, so an end can lie before the reading that still
  // saw the request run.
  entry.lasted_us += static_cast<std::int64_t>(lasted) >> time_shift;

  DemandTotals& totals = entry.totals;
  totals.at = now;
  totals.ended += ended;
  totals.started = totals.ended + running(raw->turns);
  totals.busy_us = std::max(totals.busy_us,
                            static_cast<std::uint64_t>(std::max<std::int64_t>(0, entry.lasted_us)));
  totals.highest =
      std::max(entry.demand->highest_.exchange(running(raw->turns)), running(raw->turns));
  return totals;
}

std::vector<std::string> DemandTable::active() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  for (auto& [id, entry] : by_id_) {
    const std::uint64_t turns = entry.demand->turns_.load(std::memory_order_relaxed);
    if (running(turns) > 0 || turns != entry.seen_turns) ids.push_back(id);
    entry.seen_turns = turns;
  }
  return ids;
}

void DemandTable::forget_unused() {
  const std::lock_guard lock(mutex_);
  std::erase_if(by_id_, [](const auto& item) {
    const auto& demand = item.second.demand;
    if (demand.use_count() > 1) return false;
    // Whole and none running: no request will touch it again.
    const auto raw = demand->read();
    return raw && running(raw->turns) == 0;
  });
}

}  // namespace staithe::gateway
