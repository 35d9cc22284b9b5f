#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fleet.h"
#include "scalers.h"
#include "trace.h"

// Plays request traces to a deployment under several autoscalers; README.md says what is modelled.
namespace {

using namespace staithe;
using namespace staithe::bench;
using namespace std::chrono_literals;

constexpr Duration copy_spread = 10s;

struct Contender {
  std::string name;
  std::function<std::unique_ptr<Scaler>(const Trace&, const ServiceModel&, const Limits&)> make;
};

template <typename T>
Contender at_target(const std::string& name, double share) {
  return {name, [share](const Trace&, const ServiceModel& model, const Limits&) {
            return std::make_unique<T>(share * model.concurrency);
          }};
}

std::vector<Contender> contenders(const reconcile::ScaleOptions& options) {
  return {{"Staithe",
           [&options](const Trace&, const ServiceModel& model, const Limits& limits) {
             return std::make_unique<StaitheScaler>(options, model, limits);
           }},
          at_target<HpaScaler>("HPA, target 100 %", 1),
          at_target<HpaScaler>("HPA, target 70 %", 0.7),
          at_target<KpaScaler>("Knative KPA, target 70 %", 0.7),
          at_target<KedaScaler>("KEDA queue, target 100 %", 1),
          {"always max",
           [](const Trace&, const ServiceModel&, const Limits& limits) {
             return std::make_unique<FixedScaler>(limits.max);
           }},
          {"hindsight", [](const Trace& trace, const ServiceModel& model, const Limits&) {
             return std::make_unique<HindsightScaler>(trace, model);
           }}};
}

// Replicas that the busiest minute keeps busy, and the busiest of the first three.
struct Load {
  double busiest = 0;
  double begin = 0;
};

Load load_of(const Trace& trace, const ServiceModel& model) {
  std::map<std::int64_t, Duration> by_minute;
  for (const Request& request : trace.requests) {
    by_minute[request.at / 1min] += model.service(request);
  }
  Load load;
  for (const auto& [minute, work] : by_minute) {
    const double replicas = std::chrono::duration<double>(work).count() / 60 / model.concurrency;
    load.busiest = std::max(load.busiest, replicas);
    if (minute < 3) load.begin = std::max(load.begin, replicas);
  }
  return load;
}

struct Settings {
  std::vector<std::string> traces;
  std::vector<unsigned> cold_starts_s = {30, 120};
  double busiest = 12;  // replicas that the busiest minute of a trace is made to need
  std::string curves;   // a directory, or empty
  reconcile::ScaleOptions options;
};

void print_row(const std::string& name, const Outcome& outcome) {
  fmt::print("| {} | {:.2f} % | {:.2f} | {:.0f} | {} | {} | {:.1f} |\n", name,
             outcome.attainment * 100, outcome.replica_hours,
             static_cast<double>(outcome.served_well) / outcome.replica_hours,
             outcome.direction_changes, outcome.changes, outcome.wait_p99_s);
}

void play(const Trace& original, const Settings& settings) {
  ServiceModel model;
  const double once = load_of(original, model).busiest;
  const auto copies =
      static_cast<std::uint32_t>(std::max(1.0, std::floor(settings.busiest / once)));
  const Trace trace = multiplied(original, copies, copy_spread);
  const Load load = load_of(trace, model);
  Limits limits;
  limits.begin =
      std::clamp(static_cast<std::uint32_t>(std::ceil(load.begin)), limits.min, limits.max);
  for (const unsigned cold_start : settings.cold_starts_s) {
    model.cold_start = std::chrono::seconds{cold_start};
    fmt::print("\n{}, each request {} times ({} requests in {:.0f} s), cold start {} s:\n\n",
               trace.name, copies, trace.requests.size(),
               std::chrono::duration<double>(trace.requests.back().at).count(), cold_start);
    fmt::print(
        "| scaler | in SLO | replica-hours | in SLO per replica-hour | direction changes | "
        "changes | p99 wait, s |\n|---|---|---|---|---|---|---|\n");
    for (const Contender& contender : contenders(settings.options)) {
      const auto scaler = contender.make(trace, model, limits);
      std::ofstream curve;
      if (!settings.curves.empty()) {
        curve.open(fmt::format("{}/{}-{}-{}.csv", settings.curves, trace.name, cold_start,
                               contender.name.substr(0, contender.name.find(' '))));
        curve << "second,in_flight,ready,wanted\n";
      }
      const auto record = [&curve](const Moment& moment) {
        curve << moment.at / 1s << ',' << moment.in_flight << ',' << moment.ready << ','
              << moment.wanted << '\n';
      };
      print_row(contender.name,
                run_fleet(trace, model, limits, *scaler,
                          settings.curves.empty() ? std::function<void(const Moment&)>{} : record));
    }
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  double down_window = 60;
  CLI::App app{"Plays request traces to a deployment under several autoscalers."};
  app.add_option("--trace", settings.traces, "trace to play, .csv, .jsonl or .txt.gz; repeatable")
      ->required();
  app.add_option("--cold-start", settings.cold_starts_s, "seconds a replica takes to start")
      ->capture_default_str();
  app.add_option("--busiest", settings.busiest,
                 "replicas that the busiest minute needs, reached by repeating every request")
      ->capture_default_str();
  app.add_option("--curves", settings.curves, "directory for what happened second by second");
  app.add_option("--down-window", down_window, "of Staithe, in seconds")->capture_default_str();
  app.add_option("--load-window-starts", settings.options.load_window_starts, "of Staithe")
      ->capture_default_str();
  app.add_option("--tolerance", settings.options.tolerance, "of Staithe")->capture_default_str();
  app.add_option("--utilization", settings.options.utilization, "of Staithe")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto seconds = [](double count) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(count));
  };
  settings.options.down_window = seconds(down_window);
  for (const std::string& path : settings.traces) {
    const Result<Trace> trace = read_trace(path);
    if (!trace) {
      std::fprintf(stderr, "scale_sim: %s\n", trace.error().message.c_str());
      return 1;
    }
    play(*trace, settings);
  }
  return 0;
}
