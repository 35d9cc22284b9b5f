#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"

// What every part of the simulation stands on: time, chance, a record of what happened, and the
// place where a broken promise is reported. One thread.
namespace staithe::sim {

// What must hold, always or in the end. README.md says what each means.
enum class Invariant : std::uint8_t {
  gpu_held_once,
  node_claimed_once,
  one_process_per_replica,
  record_before_process,
  no_orphans,
  ready_means_ready,
  claim_has_its_nodes,
  served_only_when_ready,
  streams_are_not_cut,
  legal_steps,
  status_well_formed,
  surge_is_bounded,
  nothing_acknowledged_is_lost,
  writes_are_visible,
  calls_are_answered_well,
  settles,
  waits_for_a_reason,
  others_go_on,
  idle_is_quiet,
};
std::string_view name_of(Invariant invariant);

// The first promise that did not hold.
class Verdict {
 public:
  void fail(Invariant invariant, std::string what) {
    if (!failure_) failure_ = {invariant, std::move(what)};
  }
  bool has_failed() const { return failure_.has_value(); }
  const std::optional<std::pair<Invariant, std::string>>& failure() const { return failure_; }

 private:
  std::optional<std::pair<Invariant, std::string>> failure_;
};

// Seeded chance with the questions that a story asks.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}

  bool chance(double probability) { return probability > 0 && random_.unit() < probability; }
  // Both ends included.
  std::uint64_t between(std::uint64_t least, std::uint64_t most) {
    return least + random_.below(most - least + 1);
  }
  Duration between(Duration least, Duration most) {
    return least + Duration{static_cast<std::int64_t>(
                       random_.below(static_cast<std::uint64_t>((most - least).count()) + 1))};
  }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[random_.below(from.size())];
  }
  Random& random() { return random_; }

 private:
  SeededRandom random_;
};

// What is to happen when. Things of one instant happen in the order in which they were planned.
class Timeline {
 public:
  // What belongs to a process goes with it; the world's own never does.
  using Owner = std::uint64_t;
  static constexpr Owner world = 0;

  explicit Timeline(FakeClock& clock) : clock_(clock) {}

  void at(Instant when, Owner owner, std::function<void()> event) {
    events_.push_back({when, next_turn_++, owner, std::move(event)});
    std::push_heap(events_.begin(), events_.end(), is_later);
  }
  void after(Duration delay, Owner owner, std::function<void()> event) {
    at(clock_.instant() + delay, owner, std::move(event));
  }
  // The events of this owner, and of those before it, will not happen.
  void forget(Owner owner) { forgotten_ = std::max(forgotten_, owner); }

  Instant next() const { return events_.empty() ? Instant::max() : events_.front().when; }
  // Lets happen what is due, what that plans for this very moment included.
  void run_due() {
    while (!events_.empty() && events_.front().when <= clock_.instant()) {
      std::pop_heap(events_.begin(), events_.end(), is_later);
      const Event event = std::move(events_.back());
      events_.pop_back();
      if (event.owner == world || event.owner > forgotten_) event.happen();
    }
  }

 private:
  struct Event {
    Instant when;
    std::uint64_t turn = 0;
    Owner owner = world;
    std::function<void()> happen;
  };
  static bool is_later(const Event& left, const Event& right) {
    return std::tie(left.when, left.turn) > std::tie(right.when, right.turn);
  }

  FakeClock& clock_;
  std::vector<Event> events_;  // a heap, the next one first
  std::uint64_t next_turn_ = 0;
  Owner forgotten_ = 0;
};

// What happened, for people. Texts are made only while somebody reads them.
class Trace {
 public:
  enum class Mode : std::uint8_t { off, keep_last, print };

  Trace(const FakeClock& clock, Mode mode) : clock_(clock), begin_(clock.instant()), mode_(mode) {}

  template <typename... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    if (mode_ != Mode::off) add(fmt::format(format, std::forward<Args>(args)...));
  }
  const std::deque<std::string>& last() const { return lines_; }

 private:
  void add(const std::string& text);

  const FakeClock& clock_;
  const Instant begin_;
  const Mode mode_;
  std::deque<std::string> lines_;
};

// What can go wrong, each with its chance per opportunity or its number per storm. A seed has only
// some of it, so that faults are also seen alone.
struct Weather {
  bool is_storm = true;

  double action_fails = 0;  // of the driver, and nothing was done
  double action_lies = 0;   // an error, and it was done all the same
  double action_is_slow = 0;
  double query_fails = 0;     // of the driver
  double notice_is_late = 0;  // the driver sees late what became of an engine
  double word_is_lost = 0;    // the driver's listener is not called
  double word_is_late = 0;
  double word_is_doubled = 0;
  double somebody_else_writes = 0;  // just before a commit of ours
  double feed_lags = 0;             // a commit shows in the feed only later
  double wake_is_lost = 0;
  double wake_is_late = 0;
  double wake_is_doubled = 0;
  double serving_is_late = 0;  // the data plane takes a list over late
  double drained_is_late = 0;  // and says so late
  double engine_is_moody = 0;  // an engine that is sound crashes while it loads
  double stop_is_ignored = 0;  // until it is killed
  double executor_is_full = 0;
  double executor_is_slow = 0;

  std::uint64_t crashes = 0;     // of our process
  double crash_again = 0;        // soon after its start
  std::uint64_t outages = 0;     // of the store
  std::uint64_t power_cuts = 0;  // a machine stops with all that runs on it
  std::uint64_t partitions = 0;  // a machine is out of reach and runs on
  std::uint64_t cordons = 0;     // a machine takes nothing new for a while
  std::uint64_t engine_crashes = 0;
  std::uint64_t engine_freezes = 0;  // its model stops answering
  std::uint64_t strays = 0;          // engines that nobody has a record of
  std::uint64_t hangs = 0;           // of the driver's actions, for minutes

  // True by chance, and only in a storm.
  static Weather draw(Dice& dice);
};

// How often things happened.
struct Counters {
  std::map<std::string, std::uint64_t, std::less<>> counts;

  void count(std::string_view what) {
    const auto found = counts.find(what);
    if (found == counts.end()) {
      counts.emplace(what, 1);
    } else {
      found->second += 1;
    }
  }
};

struct Stage {
  Stage(std::uint64_t seed, Trace::Mode mode)
      : timeline(clock), dice(seed), weather(Weather::draw(dice)), trace(clock, mode) {}

  FakeClock clock;
  Timeline timeline;
  Dice dice;
  Weather weather;
  Trace trace;
  Verdict verdict;
  Counters counters;

  Instant now() const { return clock.instant(); }
  // A fault of this kind happens now.
  bool strikes(double probability, std::string_view what) {
    if (!weather.is_storm || !dice.chance(probability)) return false;
    counters.count(what);
    return true;
  }
};

}  // namespace staithe::sim
