#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/event_loop.h"

namespace staithe::gateway {

// The requests of one deployment, counted by all loops: how many there were, how many there are,
// and for how long all of them lasted. Any thread.
//
// A start is one atomic addition to each of two numbers and so is an end. `turns_` holds the
// requests that ended in its upper half and those that run in its lower. `times_` holds, in
// microseconds above its lowest 16 bits, the ends' times less the starts' (so that for a moment t
// the sum of all durations is that plus t for each request that runs), and in those 16 bits how
// many additions were made: a reader that finds it at odds with `turns_` came between the two and
// reads again. Nothing of it is ever reset and all of it wraps around; differences between two
// readings are exact as long as they are below 2^32 requests and 2^47 us.
class alignas(64) DeploymentDemand {
 public:
  void start(Instant now);
  void end(Instant now);

 private:
  friend class DemandTable;
  struct Raw {
    std::uint64_t turns = 0;
    std::uint64_t times = 0;
  };
  // Absent when every try met a request between its two additions.
  std::optional<Raw> read() const;

  std::atomic<std::uint64_t> turns_{0};
  std::atomic<std::uint64_t> times_{0};
  std::atomic<std::uint32_t> highest_{0};  // most at once since the table's reader asked last
};

// One request of one deployment, from its assignment until it is over. The only way to count, so
// that no path can forget the end. Of one loop, whose time it goes by.
class DemandGuard {
 public:
  DemandGuard() = default;
  ~DemandGuard() { release(); }
  DemandGuard(const DemandGuard&) = delete;
  DemandGuard& operator=(const DemandGuard&) = delete;

  // Counts for `demand` from now on; what it counted for until now is over, unless it is the same.
  void assign(DeploymentDemand& demand, const net::EventLoop& loop);
  void release();

 private:
  DeploymentDemand* demand_ = nullptr;
  const net::EventLoop* loop_ = nullptr;
};

// What was counted for one deployment, from its first request on.
struct DemandTotals {
  Instant at;
  std::uint64_t started = 0;
  std::uint64_t ended = 0;
  std::uint64_t busy_us = 0;  // how long all of them lasted, or last so far; never falls
  std::uint32_t highest = 0;  // most at once since the reading before
  bool operator==(const DemandTotals&) const = default;
};

// The demand of all deployments by id. What counts for a deployment stays in place while a route
// table or a request needs it. Any thread.
class DemandTable {
 public:
  // For route tables. The counter is the table's; the handle keeps it.
  std::shared_ptr<DeploymentDemand> at(const std::string& deployment_id);

  // All zero for a deployment nobody has asked for. Absent if no whole reading could be had,
  // because loops were stopped between two instructions: ask again later. Each reading ends the
  // span of `highest`, so it is for one reader.
  std::optional<DemandTotals> read(std::string_view deployment_id, const Clock& clock);

  // The deployments that have requests, or had since this was asked last. For one reader.
  std::vector<std::string> active();

  // Forgets deployments that no route table knows and that have no request left.
  void forget_unused();

 private:
  struct Entry {
    std::shared_ptr<DeploymentDemand> demand;
    DeploymentDemand::Raw last;  // read for `totals`
    DemandTotals totals;
    std::int64_t lasted_us = 0;    // the sum behind totals.busy_us; may step back a little
    std::uint64_t seen_turns = 0;  // by active()
  };
  mutable std::mutex mutex_;  // guards by_id_; requests never take it
  std::map<std::string, Entry, std::less<>> by_id_;
};

}  // namespace staithe::gateway
