#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "decision_cost.h"
#include "world.h"

// Finds how many requests a second a fleet takes within its SLO under several ways to choose a
// replica; README.md says what is modelled.
namespace {

using namespace staithe;
using namespace staithe::bench;

struct Settings {
  std::vector<std::string> traces;
  std::string only;  // contenders whose name holds this; empty: all
  Fleet fleet;
  Slo slo;
  gateway::ChooseOptions choose;
  double goal = 0.95;
  double precision = 0.005;
  double fixed_rate = 0;  // 0: find the capacity
  bool is_unique = false;
  bool is_cost_measured = false;
};

struct Capacity {
  double rate = 0;  // times the recorded one
  Outcome outcome;  // at that rate
};

// Attainment falls with the rate, but for noise: halving finds a rate at which it passes the goal.
Capacity find_capacity(const Trace& trace, const Settings& settings, const Contender& contender) {
  const auto at = [&](double rate) {
    return play(trace, rate, settings.fleet, settings.slo, contender);
  };
  double low = 0;
  double high = 1;
  Capacity best;
  const auto is_enough = [&](double rate) {
    const Outcome outcome = at(rate);
    if (outcome.attainment < settings.goal) return false;
    best = {rate, outcome};
    return true;
  };
  while (high < 1e4 && is_enough(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > settings.precision * high && high > 1e-4) {
    const double middle = (low + high) / 2;
    (is_enough(middle) ? low : high) = middle;
  }
  return best;
}

double requests_per_s(const Trace& trace) {
  return static_cast<double>(trace.requests.size()) /
         std::max(1.0, trace.requests.back().at_s - trace.requests.front().at_s);
}

void compare(const Trace& trace, const Settings& settings) {
  std::vector<Contender> contenders = other_contenders();
  contenders.insert(contenders.begin(), staithe_contender(settings.choose));
  std::erase_if(contenders, [&](const Contender& one) {
    return one.name.find(settings.only) == std::string::npos;
  });
  fmt::print("\n{}{}: {} requests, {:.2f} a second as recorded\n\n", trace.name,
             settings.is_unique ? ", prompts made unique" : "", trace.requests.size(),
             requests_per_s(trace));
  fmt::print(
      "| policy | requests/s within SLO | Staithe's is | cached | TTFT p50, s | p95, s |\n"
      "|---|---|---|---|---|---|\n");
  double ours = 0;
  for (const Contender& contender : contenders) {
    Capacity found;
    if (settings.fixed_rate > 0) {
      found = {settings.fixed_rate,
               play(trace, settings.fixed_rate, settings.fleet, settings.slo, contender)};
    } else {
      found = find_capacity(trace, settings, contender);
    }
    if (contender.name == "Staithe") ours = found.rate;
    fmt::print("| {} | {:.2f} | {:.2f} | {:.1f} % | {:.2f} | {:.2f} |", contender.name,
               found.rate * requests_per_s(trace), ours / found.rate,
               found.outcome.cached_share * 100, found.outcome.first_token_p50_s,
               found.outcome.first_token_p95_s);
    if (settings.fixed_rate > 0) fmt::print(" {:.2f} % within SLO", found.outcome.attainment * 100);
    fmt::print("\n");
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  std::uint32_t kv_tokens = settings.fleet.engine.kv_blocks * block_tokens;
  CLI::App app{"Finds the capacity of a fleet within its SLO under several routing policies."};
  app.add_option("--trace", settings.traces, "trace to play, .csv, .jsonl or .txt.gz; repeatable");
  app.add_option("--policy", settings.only, "only policies whose name holds this");
  app.add_option("--rate", settings.fixed_rate, "times the recorded rate, instead of a search");
  app.add_flag("--unique", settings.is_unique, "prompts that have nothing in common");
  app.add_flag("--cost", settings.is_cost_measured, "measure what a decision costs");
  app.add_option("--engines", settings.fleet.engine_count)->capture_default_str();
  app.add_option("--kv-tokens", kv_tokens, "memory of an engine")->capture_default_str();
  app.add_option("--step-tokens", settings.fleet.engine.step_tokens_max)->capture_default_str();
  app.add_option("--reading-interval", settings.fleet.reading_interval_s, "seconds")
      ->capture_default_str();
  app.add_option("--seed", settings.fleet.seed)->capture_default_str();
  app.add_option("--goal", settings.goal, "share of requests within the SLO")
      ->capture_default_str();
  app.add_option("--precision", settings.precision)->capture_default_str();
  app.add_option("--ttft", settings.slo.first_token_s, "seconds")->capture_default_str();
  app.add_option("--ttft-per-token", settings.slo.first_token_per_token_s, "seconds more")
      ->capture_default_str();
  app.add_option("--tpot", settings.slo.other_token_s, "seconds")->capture_default_str();
  app.add_option("--load-percent", settings.choose.load_percent_max, "of Staithe")
      ->capture_default_str();
  app.add_option("--running-bytes", settings.choose.running_bytes, "of Staithe")
      ->capture_default_str();
  app.add_option("--reading-percent", settings.choose.reading_percent, "of Staithe")
      ->capture_default_str();
  app.add_option("--cache-bytes", settings.choose.cache_bytes_per_replica, "of Staithe")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  settings.fleet.engine.kv_blocks = kv_tokens / block_tokens;

  if (settings.is_cost_measured) print_decision_cost();
  for (const std::string& path : settings.traces) {
    const Result<Trace> trace = read_trace(path);
    if (!trace) {
      std::fprintf(stderr, "route_sim: %s\n", trace.error().message.c_str());
      return 1;
    }
    compare(settings.is_unique ? without_reuse(*trace) : *trace, settings);
  }
  return 0;
}
