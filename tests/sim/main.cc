#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "sim/simulation.h"

// ./dev sim: many stories, or one of them in full.
namespace staithe::sim {
namespace {

struct Options {
  std::uint64_t seeds = 200;
  std::uint64_t from = 1;
  std::uint64_t jobs = 2;
  std::optional<std::uint64_t> seed;
  Bug bug = Bug::none;
  bool is_verbose = false;
};

constexpr std::string_view usage =
    "usage: ./dev sim [--seeds N] [--from S] [--jobs N] [--plant BUG] [--verbose]\n"
    "       ./dev sim --seed S [--plant BUG] [--verbose]\n"
    "BUG: oversell, orphan, ahead-of-truth, lost-wakeup, double-start\n";

// A broken CHECK ends the process: it says at least in which story.
thread_local std::uint64_t seed_under_way = 0;

void name_the_seed(int) {
  char text[128];
  const int length = std::snprintf(text, sizeof text, "replay: ./dev sim --seed %llu --verbose\n",
                                   static_cast<unsigned long long>(seed_under_way));
  (void)!::write(2, text, static_cast<std::size_t>(length));
  std::signal(SIGABRT, SIG_DFL);
}

std::optional<Options> parse(const std::vector<std::string_view>& words) {
  Options options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--verbose") {
      options.is_verbose = true;
      continue;
    }
    if (i + 1 >= words.size()) return std::nullopt;
    const std::string_view name = words[i];
    const std::string_view value = words[++i];
    if (name == "--plant") {
      const auto bug = bug_named(value);
      if (!bug) return std::nullopt;
      options.bug = *bug;
      continue;
    }
    std::uint64_t number = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
    if (parsed.ec != std::errc{} || parsed.ptr != value.data() + value.size()) return std::nullopt;
    if (name == "--seeds") {
      options.seeds = number;
    } else if (name == "--from") {
      options.from = number;
    } else if (name == "--jobs" && number > 0) {
      options.jobs = number;
    } else if (name == "--seed") {
      options.seed = number;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

std::string replay_command(std::uint64_t seed, Bug bug) {
  return fmt::format("./dev sim --seed {}{}{} --verbose", seed, bug == Bug::none ? "" : " --plant ",
                     bug == Bug::none ? std::string_view{} : name_of(bug));
}

void print_failure(std::uint64_t seed, Bug bug, const Report& report) {
  fmt::print("\nseed {}: broken: {}\n  {}\n", seed, name_of(*report.failed), report.what);
  fmt::print("replay: {}\n", replay_command(seed, bug));
  std::fflush(stdout);
}

void print_counters(const Counters& counters) {
  for (const auto& [what, count] : counters.counts) fmt::print("  {:28} {:>12}\n", what, count);
}

int run_one(const Options& options) {
  seed_under_way = *options.seed;
  const Report report =
      simulate({.seed = *options.seed,
                .bug = options.bug,
                .trace = options.is_verbose ? Trace::Mode::print : Trace::Mode::keep_last});
  if (options.is_verbose) print_counters(report.counters);
  if (!report.failed) {
    fmt::print("seed {}: clean, {} ticks\n", *options.seed, report.ticks);
    return 0;
  }
  for (const std::string& line : report.last_events) fmt::print("{}\n", line);
  print_failure(*options.seed, options.bug, report);
  return 1;
}

// The stories of all seeds, told by a few threads.
class Run {
 public:
  explicit Run(const Options& options) : options_(options), begin_(clock_.instant()) {}

  int all() {
    {
      std::vector<Thread> threads;
      for (std::uint64_t i = 0; i < options_.jobs; ++i) {
        threads.emplace_back(fmt::format("sim-{}", i), [this] { work(); });
      }
    }
    const double seconds = seconds_passed();
    if (options_.is_verbose) print_counters(counters_);
    fmt::print("{} status writes for {} status changes\n", writes_, changes_);
    fmt::print("{} of {} seeds clean, {} ticks, {:.0f} ticks/s, {:.1f} seeds/s, {:.1f} s\n", clean_,
               told_, ticks_, static_cast<double>(ticks_) / seconds,
               static_cast<double>(told_) / seconds, seconds);
    return clean_ == told_ ? 0 : 1;
  }

 private:
  static constexpr std::uint64_t failures_shown_max = 10;
  static constexpr double progress_interval_s = 30;

  double seconds_passed() const {
    return std::chrono::duration<double>(clock_.instant() - begin_).count();
  }

  void work() {
    while (true) {
      const std::uint64_t number = next_.fetch_add(1);
      if (number >= options_.seeds) return;
      seed_under_way = options_.from + number;
      const Report report = simulate({.seed = seed_under_way, .bug = options_.bug});
      take(seed_under_way, report);
    }
  }

  void take(std::uint64_t seed, const Report& report) {
    const std::lock_guard lock(mutex_);
    told_ += 1;
    ticks_ += report.ticks;
    writes_ += report.status_writes;
    changes_ += report.status_changes;
    for (const auto& [what, count] : report.counters.counts) counters_.counts[what] += count;
    if (!report.failed) {
      clean_ += 1;
    } else if (told_ - clean_ <= failures_shown_max) {
      // Told once more, for its last events.
      const Report again =
          simulate({.seed = seed, .bug = options_.bug, .trace = Trace::Mode::keep_last});
      for (const std::string& line : again.last_events) fmt::print("{}\n", line);
      print_failure(seed, options_.bug, report);
    }
    if (seconds_passed() > next_progress_s_) {
      next_progress_s_ += progress_interval_s;
      fmt::print("{} of {} seeds, {} clean\n", told_, options_.seeds, clean_);
      std::fflush(stdout);
    }
  }

  const Options options_;
  const SystemClock clock_;
  const Instant begin_;
  std::atomic<std::uint64_t> next_ = 0;
  std::mutex mutex_;  // guards all below
  std::uint64_t told_ = 0;
  std::uint64_t clean_ = 0;
  std::uint64_t ticks_ = 0;
  std::uint64_t writes_ = 0;
  std::uint64_t changes_ = 0;
  double next_progress_s_ = progress_interval_s;
  Counters counters_;
};

}  // namespace
}  // namespace staithe::sim

int main(int argc, char** argv) {
  using namespace staithe::sim;
  const auto options = parse({argv + 1, argv + argc});
  if (!options) {
    std::fputs(std::string(usage).c_str(), stderr);
    return 2;
  }
  std::signal(SIGABRT, name_the_seed);
  return options->seed ? run_one(*options) : Run(*options).all();
}
