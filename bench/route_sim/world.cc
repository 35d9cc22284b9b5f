#include "world.h"

#include <algorithm>
#include <cmath>

namespace staithe::bench {
namespace {

class World {
 public:
  World(const Trace& trace, double rate, const Fleet& fleet, const Contender& contender)
      : fleet_(fleet),
        engines_(fleet.engine_count, Engine(fleet.engine, trace.block_count)),
        jobs_(trace.requests.size()),
        readings_(fleet.engine_count),
        policy_(contender.make({.engine_count = fleet.engine_count,
                                .kv_blocks = fleet.engine.kv_blocks,
                                .seed = fleet.seed})) {
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      jobs_[i].request = &trace.requests[i];
      jobs_[i].arrived_s = trace.requests[i].at_s / rate;
    }
  }

  const std::vector<Job>& run() {
    std::size_t next = 0;
    while (true) {
      const auto engine = std::min_element(
          engines_.begin(), engines_.end(),
          [](const Engine& a, const Engine& b) { return a.step_end_s() < b.step_end_s(); });
      const double step_end_s = engine->step_end_s();
      if (next < jobs_.size() && jobs_[next].arrived_s <= step_end_s) {
        place(jobs_[next++]);
        continue;
      }
      if (step_end_s == std::numeric_limits<double>::infinity()) return jobs_;
      read_engines(step_end_s);
      progress_.first_tokens.clear();
      progress_.ended.clear();
      engine->end_step(progress_);
      for (const Job* job : progress_.first_tokens) policy_->on_first_token(*job);
      for (const Job* job : progress_.ended) policy_->on_end(*job);
    }
  }

 private:
  void place(Job& job) {
    read_engines(job.arrived_s);
    job.engine = policy_->choose(job, job.arrived_s);
    engines_[job.engine].submit(job, job.arrived_s);
  }

  // Nothing changes between events, so what an engine tells at a tick is what it is now.
  void read_engines(double now_s) {
    if (now_s < next_reading_s_) return;
    for (std::size_t i = 0; i < engines_.size(); ++i) {
      readings_[i] = {engines_[i].waiting(), engines_[i].running(), engines_[i].kv_use()};
    }
    policy_->on_readings(readings_, next_reading_s_);
    next_reading_s_ += fleet_.reading_interval_s *
                       (1 + std::floor((now_s - next_reading_s_) / fleet_.reading_interval_s));
  }

  const Fleet fleet_;
  std::vector<Engine> engines_;
  std::vector<Job> jobs_;
  std::vector<Reading> readings_;
  std::unique_ptr<Policy> policy_;
  Engine::Progress progress_;
  double next_reading_s_ = 0;
};

double quantile(std::vector<double>& values, double share) {
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

}  // namespace

bool Slo::is_met(const Job& job) const {
  const Request& request = *job.request;
  if (job.first_token_s - job.arrived_s >
      first_token_s + first_token_per_token_s * request.input_tokens) {
    return false;
  }
  return job.end_s - job.first_token_s <= other_token_s * (request.output_tokens - 1);
}

Outcome play(const Trace& trace, double rate, const Fleet& fleet, const Slo& slo,
             const Contender& contender) {
  World world(trace, rate, fleet, contender);
  const std::vector<Job>& jobs = world.run();
  std::size_t met_count = 0;
  double cached_tokens = 0;
  double input_tokens = 0;
  std::vector<double> first_tokens_s;
  for (const Job& job : jobs) {
    met_count += slo.is_met(job) ? 1 : 0;
    cached_tokens += job.cached_tokens;
    input_tokens += job.request->input_tokens;
    first_tokens_s.push_back(job.first_token_s - job.arrived_s);
  }
  return {.attainment = static_cast<double>(met_count) / static_cast<double>(jobs.size()),
          .cached_share = cached_tokens / input_tokens,
          .first_token_p50_s = quantile(first_tokens_s, 0.5),
          .first_token_p95_s = quantile(first_tokens_s, 0.95)};
}

}  // namespace staithe::bench
