#include "fleet.h"

#include <algorithm>
#include <optional>

namespace staithe::bench {
namespace {

constexpr Duration second = std::chrono::seconds{1};

Duration of_tokens(std::uint32_t tokens, double per_second) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(tokens / per_second));
}

enum class Phase : std::uint8_t { starting, ready, draining, gone };

struct Replica {
  Phase phase = Phase::starting;
  Duration ordered_at{0};
  Duration ready_at{0};
  std::uint32_t running = 0;
};

class Fleet {
 public:
  Fleet(const Trace& trace, const ServiceModel& model, const Limits& limits, Scaler& scaler,
        const std::function<void(const Moment&)>& on_second)
      : requests_(trace.requests),
        model_(model),
        limits_(limits),
        scaler_(scaler),
        on_second_(on_second),
        end_(requests_.back().at),
        wanted_(limits.begin) {
    for (std::uint32_t i = 0; i < limits.begin; ++i) {
      replicas_.push_back({.phase = Phase::ready});
    }
    waits_.reserve(requests_.size());
  }

  Outcome run() {
    while (next_arrival_ < requests_.size() || !waiting_.empty() || !finishes_.empty()) step();
    for (Replica& replica : replicas_) retire(replica);
    std::sort(waits_.begin(), waits_.end());
    outcome_.attainment =
        static_cast<double>(outcome_.served_well) / static_cast<double>(requests_.size());
    outcome_.wait_p99_s = std::chrono::duration<double>(waits_[waits_.size() * 99 / 100]).count();
    return outcome_;
  }

 private:
  struct Finish {
    Duration at;
    std::size_t replica;
    bool operator>(const Finish& other) const { return at > other.at; }
  };

  void step() {
    const Duration arrival =
        next_arrival_ < requests_.size() ? requests_[next_arrival_].at : Duration::max();
    const Duration finish = finishes_.empty() ? Duration::max() : finishes_.top().at;
    const Duration ready = next_ready();
    const Duration next = std::min({arrival, finish, ready, next_look_});
    busy_ += static_cast<std::int64_t>(in_flight()) * (next - now_);
    now_ = next;
    if (next == ready) {
      for (Replica& replica : replicas_) {
        if (replica.phase == Phase::starting && replica.ready_at <= now_) {
          replica.phase = Phase::ready;
        }
      }
    } else if (next == finish) {
      Replica& replica = replicas_[finishes_.top().replica];
      finishes_.pop();
      ++ended_;
      --replica.running;
      if (replica.phase == Phase::draining && replica.running == 0) retire(replica);
    } else if (next == arrival) {
      waiting_.push_back(next_arrival_++);
    } else {
      next_look_ += second;
      return look();
    }
    dispatch();
  }

  std::uint64_t in_flight() const { return next_arrival_ - ended_; }

  Duration next_ready() const {
    Duration next = Duration::max();
    for (const Replica& replica : replicas_) {
      if (replica.phase == Phase::starting) next = std::min(next, replica.ready_at);
    }
    return next;
  }

  std::uint32_t count(Phase phase) const {
    return static_cast<std::uint32_t>(
        std::count_if(replicas_.begin(), replicas_.end(),
                      [phase](const Replica& replica) { return replica.phase == phase; }));
  }

  // To the ready replica with the fewest requests, while one has room.
  void dispatch() {
    while (!waiting_.empty()) {
      std::optional<std::size_t> best;
      for (std::size_t i = 0; i < replicas_.size(); ++i) {
        const Replica& replica = replicas_[i];
        if (replica.phase != Phase::ready || replica.running >= model_.concurrency) continue;
        if (!best || replica.running < replicas_[*best].running) best = i;
      }
      if (!best) return;
      const Request& request = requests_[waiting_.front()];
      waiting_.pop_front();
      ++replicas_[*best].running;
      finishes_.push({now_ + model_.service(request), *best});
      const Duration wait = now_ - request.at;
      waits_.push_back(wait);
      if (wait <= model_.wait_max(request)) ++outcome_.served_well;
    }
  }

  void look() {
    const Instant at = Instant{} + std::chrono::hours{1} + now_;
    const std::uint32_t ready = count(Phase::ready);
    const std::uint32_t starting = count(Phase::starting);
    const auto busy_us = std::chrono::duration_cast<std::chrono::microseconds>(busy_).count();
    const std::uint32_t before = wanted_;
    const std::uint32_t said =
        scaler_.wanted({.now = at,
                        .demand = {.at = at,
                                   .started = next_arrival_,
                                   .ended = ended_,
                                   .busy_us = static_cast<std::uint64_t>(busy_us),
                                   .highest = in_flight()},
                        .ready = ready,
                        .starting = starting,
                        .wanted = wanted_});
    if (now_ > limits_.warm_up) wanted_ = std::clamp(said, limits_.min, limits_.max);
    if (now_ <= end_) {
      if (on_second_) on_second_({now_, in_flight(), ready, wanted_});
      note_change(before);
    }
    for (std::uint32_t have = ready + starting; have < wanted_; ++have) order_one();
    for (std::uint32_t have = ready + starting; have > wanted_; --have) let_one_go();
  }

  void order_one() {
    const Replica ordered{.ordered_at = now_, .ready_at = now_ + model_.cold_start};
    const auto place = std::find_if(replicas_.begin(), replicas_.end(), [](const Replica& replica) {
      return replica.phase == Phase::gone;
    });
    if (place == replicas_.end()) {
      replicas_.push_back(ordered);
    } else {
      *place = ordered;
    }
  }

  void note_change(std::uint32_t before) {
    if (wanted_ == before) return;
    const int direction = wanted_ > before ? 1 : -1;
    ++outcome_.changes;
    if (direction == -last_direction_) ++outcome_.direction_changes;
    last_direction_ = direction;
  }

  void let_one_go() {
    const auto rank = [](const Replica& replica) {
      return replica.phase == Phase::starting ? 0 : replica.phase == Phase::ready ? 1 : 2;
    };  // there is one of the first two
    const auto victim = std::min_element(
        replicas_.begin(), replicas_.end(), [&rank](const Replica& a, const Replica& b) {
          return rank(a) != rank(b) ? rank(a) < rank(b) : a.running < b.running;
        });
    if (victim->phase == Phase::ready && victim->running > 0) {
      victim->phase = Phase::draining;
    } else {
      retire(*victim);
    }
  }

  void retire(Replica& replica) {
    if (replica.phase == Phase::gone) return;
    replica.phase = Phase::gone;
    const Duration used =
        std::max(Duration{0}, std::min(now_, end_) - std::min(replica.ordered_at, end_));
    outcome_.replica_hours += std::chrono::duration<double, std::ratio<3600>>(used).count();
  }

  const std::vector<Request>& requests_;
  const ServiceModel& model_;
  const Limits& limits_;
  Scaler& scaler_;
  const std::function<void(const Moment&)>& on_second_;
  const Duration end_;
  Duration now_{0};
  Duration next_look_{second};
  std::uint32_t wanted_;
  int last_direction_ = 0;
  std::size_t next_arrival_ = 0;
  std::uint64_t ended_ = 0;
  Duration busy_{0};  // of all requests so far
  std::vector<Replica> replicas_;
  std::deque<std::size_t> waiting_;
  std::priority_queue<Finish, std::vector<Finish>, std::greater<>> finishes_;
  std::vector<Duration> waits_;
  Outcome outcome_;
};

}  // namespace

Duration ServiceModel::prefill(const Request& request) const {
  return overhead + of_tokens(request.input_tokens, prompt_tokens_per_second);
}

Duration ServiceModel::service(const Request& request) const {
  return prefill(request) + of_tokens(request.output_tokens, answer_tokens_per_second);
}

Duration ServiceModel::wait_max(const Request& request) const {
  return first_token_max + of_tokens(request.input_tokens, slo_prompt_tokens_per_second) -
         prefill(request);
}

Outcome run_fleet(const Trace& trace, const ServiceModel& model, const Limits& limits,
                  Scaler& scaler, const std::function<void(const Moment&)>& on_second) {
  return Fleet(trace, model, limits, scaler, on_second).run();
}

}  // namespace staithe::bench
