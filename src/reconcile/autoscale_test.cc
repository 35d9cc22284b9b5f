#include "reconcile/autoscale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/random.h"

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;

// A deployment whose gateways hold as many requests as it is told, looked at once an interval.
class Scaled {
 public:
  explicit Scaled(ScaleOptions options = {}) : options_(options) {
    input.min = 1;
    input.max = 10;
    input.concurrency = 16;
    input.ready = 1;
    input.demand = DemandReading{.at = now_};
    input.now = now_;
    decision = autoscale(options_, input, state);
  }

  // One interval with so many requests in flight throughout.
  ScaleDecision tick(double demand) {
    pass(options_.interval, demand);
    return look();
  }
  ScaleDecision run(Duration time, double demand) {
    return run(time, [demand](Duration) { return demand; });
  }
  ScaleDecision run(Duration time, const std::function<double(Duration)>& demand) {
    for (Duration at{0}; at < time; at += options_.interval) tick(demand(at));
    return decision;
  }
  // Time goes by without a look. Requests come and go at the rate that goes with lasting 5 s, and
  // whatever the number in flight changes by comes or goes on top.
  void pass(Duration time, double demand) {
    now_ += time;
    reading_.busy_us +=
        static_cast<std::uint64_t>(demand * static_cast<double>(time.count()) / 1e3);
    const auto flow =
        static_cast<std::uint64_t>(demand / 5 * std::chrono::duration<double>(time).count());
    const auto in_flight = static_cast<std::uint64_t>(demand);
    reading_.ended += flow + std::max(reading_.in_flight(), in_flight) - in_flight;
    reading_.started = reading_.ended + in_flight;
    reading_.at = now_;
  }
  // More arrive than are served, so that they wait.
  void pile_up(Duration time, double arrivals_per_second, double departures_per_second) {
    const double seconds = std::chrono::duration<double>(time).count();
    now_ += time;
    reading_.busy_us +=
        static_cast<std::uint64_t>(static_cast<double>(reading_.in_flight()) * seconds * 1e6);
    reading_.started += static_cast<std::uint64_t>(arrivals_per_second * seconds);
    reading_.ended += static_cast<std::uint64_t>(departures_per_second * seconds);
    reading_.at = now_;
  }
  ScaleDecision look() {
    input.now = now_;
    input.wall_now = Timestamp(std::chrono::hours{24 * 365 * 56}) +
                     std::chrono::duration_cast<std::chrono::microseconds>(now_ - Instant{});
    input.demand = is_silent ? std::nullopt : std::optional(reading_);
    const std::uint32_t before = decision.wanted;
    decision = autoscale(options_, input, state);
    changes += decision.wanted != before ? 1 : 0;
    if (is_starting_at_once) {
      input.ready = decision.wanted;
      input.starting = 0;
    }
    return decision;
  }

  ScaleInput input;
  ScaleState state;
  ScaleDecision decision;
  int changes = 0;
  bool is_silent = false;           // the gateways do not answer
  bool is_starting_at_once = true;  // replicas take no time to start

 private:
  ScaleOptions options_;
  Instant now_{std::chrono::hours{100}};
  DemandReading reading_{.at = now_};
};

std::uint32_t needed(double demand, double concurrency = 16) {
  return static_cast<std::uint32_t>(std::ceil(demand / concurrency));
}

TEST(Autoscale, one_evaluation_is_enough_to_go_up) {
  Scaled scaled;
  EXPECT_EQ(scaled.tick(100).wanted, 7u);
  EXPECT_EQ(scaled.decision.reason, "demand 100.0 at 16 per replica needs 7, up from 1");
}

TEST(Autoscale, X01_noise_around_the_target_changes_the_number_at_most_once) {
  for (const std::uint32_t replicas : {1u, 2u, 5u, 10u, 20u, 50u}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      SeededRandom random(seed);
      Scaled scaled;
      scaled.input.max = 100;
      scaled.run(120s, replicas * 16.0);
      ASSERT_EQ(scaled.decision.wanted, replicas);
      scaled.changes = 0;
      scaled.run(10min, [&](Duration) { return replicas * 16.0 * (0.8 + 0.4 * random.unit()); });
      EXPECT_LE(scaled.changes, 1) << replicas << " replicas, seed " << seed;
    }
  }
}

TEST(Autoscale, X02_is_back_at_min_within_the_window_and_two_evaluations_after_the_last_stream) {
  Scaled scaled;
  scaled.run(90s, 150);
  ASSERT_EQ(scaled.decision.wanted, 10u);
  scaled.run(59s, 0);
  EXPECT_EQ(scaled.decision.wanted, 10u) << "the window is not over";
  scaled.run(3s, 0);
  EXPECT_EQ(scaled.decision.wanted, 1u) << scaled.decision.reason;
  EXPECT_EQ(scaled.decision.look_again, std::nullopt);
}

TEST(Autoscale, X03_what_is_loading_is_ordered_once_and_never_judged_idle) {
  Scaled scaled;
  scaled.is_starting_at_once = false;
  scaled.tick(64);
  ASSERT_EQ(scaled.decision.wanted, 4u);
  scaled.input.starting = 3;
  scaled.run(20s, 64);
  EXPECT_EQ(scaled.decision.wanted, 4u) << "what is coming was ordered again";
  scaled.run(5min, 0);
  EXPECT_EQ(scaled.decision.wanted, 4u) << "loading replicas were called idle";
  EXPECT_EQ(scaled.decision.reason,
            "demand 0.0 at 16 per replica needs 0, holding 4 while 3 of them start");
  scaled.input.ready = 4;
  scaled.input.starting = 0;
  scaled.run(50s, 0);
  EXPECT_EQ(scaled.decision.wanted, 4u) << "given up as soon as they were there";
  EXPECT_TRUE(scaled.decision.reason.ends_with(": some are new")) << scaled.decision.reason;
  scaled.run(10min, 0);
  EXPECT_EQ(scaled.decision.wanted, 1u);
}

TEST(Autoscale, X03_a_replica_that_never_gets_ready_does_not_hold_the_number_forever) {
  Scaled scaled;
  scaled.is_starting_at_once = false;
  scaled.tick(64);
  scaled.input.starting = 3;
  scaled.run(29min, 0);
  EXPECT_EQ(scaled.decision.wanted, 4u);
  scaled.run(2min, 0);
  EXPECT_EQ(scaled.decision.wanted, 1u);
}

TEST(Autoscale, replicas_that_start_slowly_are_let_go_slowly) {
  Scaled scaled;
  scaled.is_starting_at_once = false;
  scaled.tick(64);
  scaled.input.starting = 3;
  scaled.run(50s, 64);
  scaled.input.ready = 4;
  scaled.input.starting = 0;
  scaled.run(5min, 64);
  EXPECT_EQ(scaled.state.start_time, Duration(50s));
  scaled.run(490s, 0);
  EXPECT_EQ(scaled.decision.wanted, 4u) << "ten starts of 50 s are not over";
  EXPECT_TRUE(
      scaled.decision.reason.ends_with(": the peak of the last 500 s, as a start takes 50 s"))
      << scaled.decision.reason;
  scaled.run(60s, 0);
  EXPECT_EQ(scaled.decision.wanted, 1u) << scaled.decision.reason;
}

TEST(Autoscale, a_queue_that_was_worked_off_holds_nothing_beyond_the_window) {
  Scaled scaled;
  scaled.is_starting_at_once = false;
  scaled.run(2s, 16);
  scaled.input.starting = 1;
  scaled.run(50s, 16);
  scaled.input.ready = 2;
  scaled.input.starting = 0;
  scaled.run(10min, 16);
  ASSERT_EQ(scaled.decision.wanted, 1u);
  scaled.input.ready = 1;
  for (int i = 0; i < 20; ++i) {  // 120 wait for a moment
    scaled.pile_up(1s, i < 10 ? 15 : 3, i < 10 ? 3 : 15);
    scaled.look();
  }
  ASSERT_GE(scaled.decision.wanted, 7u);
  scaled.input.ready = scaled.decision.wanted;
  scaled.run(100s, 16);
  EXPECT_LE(scaled.decision.wanted, 3u) << scaled.decision.reason;
}

TEST(Autoscale, streams_that_begin_together_are_no_growth) {
  for (const Duration start : {Duration(0s), Duration(30s)}) {
    Scaled scaled;
    scaled.input.max = 100;
    scaled.is_starting_at_once = start == Duration(0s);
    scaled.run(2s, 0);
    scaled.run(start + 1s, 64);  // none of which ends
    EXPECT_EQ(scaled.decision.wanted, 4u);
    scaled.input.ready = 4;
    scaled.run(2min, 64);
    EXPECT_EQ(scaled.decision.wanted, 4u) << scaled.decision.reason;
  }
}

TEST(Autoscale, X04_stops_at_max_and_says_so_without_flapping) {
  Scaled scaled;
  scaled.input.max = 4;
  scaled.tick(200);
  EXPECT_EQ(scaled.decision.wanted, 4u);
  EXPECT_TRUE(scaled.decision.is_at_max);
  scaled.tick(200);
  EXPECT_EQ(scaled.decision.reason, "demand 200.0 at 16 per replica needs 13, max is 4");
  bool was_left = false;
  scaled.run(60s, [&](Duration at) {
    was_left |= !scaled.decision.is_at_max;
    return at.count() % 2 == 0 ? 60.0 : 100.0;
  });
  EXPECT_FALSE(was_left);
  scaled.run(65s, 60);
  EXPECT_EQ(scaled.decision.wanted, 4u);
  EXPECT_FALSE(scaled.decision.is_at_max);
}

TEST(Autoscale, P18_follows_new_bounds_at_once_and_is_never_above_max) {
  Scaled scaled;
  scaled.run(70s, 150);
  ASSERT_EQ(scaled.decision.wanted, 10u);
  scaled.input.max = 3;
  EXPECT_EQ(scaled.look().wanted, 3u) << "no evaluation is due, and the bound holds all the same";
  EXPECT_TRUE(scaled.decision.is_at_max);
  scaled.input.min = 2;
  scaled.input.max = 12;
  EXPECT_EQ(scaled.tick(150).wanted, 10u);
  scaled.input.min = 11;
  EXPECT_EQ(scaled.look().wanted, 11u);
}

TEST(Autoscale, X10_odd_bounds_that_no_service_lets_through_do_no_harm) {
  Scaled scaled;
  scaled.input.min = 3;
  scaled.input.max = 2;
  EXPECT_EQ(scaled.tick(500).wanted, 3u);
  scaled.input.concurrency = 0;
  EXPECT_EQ(scaled.tick(5).wanted, 3u);
}

TEST(Autoscale, holds_while_the_signal_is_missing_and_counts_that_time_for_nothing) {
  Scaled scaled;
  scaled.run(70s, 100);
  ASSERT_EQ(scaled.decision.wanted, 7u);
  scaled.is_silent = true;
  scaled.run(10min, 0);
  EXPECT_EQ(scaled.decision.wanted, 7u);
  EXPECT_EQ(scaled.decision.reason, "holding 7: the gateways do not say what the demand is");
  EXPECT_EQ(scaled.decision.look_again, Duration(1s));
  scaled.is_silent = false;
  scaled.run(60s, 0);
  EXPECT_EQ(scaled.decision.wanted, 7u) << "the gap was taken for low demand";
  scaled.run(3s, 0);
  EXPECT_EQ(scaled.decision.wanted, 1u);
}

TEST(Autoscale, counters_that_went_back_are_a_missing_signal) {
  Scaled scaled;
  scaled.run(70s, 100);
  scaled.state.reading->busy_us += 1'000'000'000;
  EXPECT_EQ(scaled.tick(100).wanted, 7u);
  EXPECT_EQ(scaled.decision.reason, "holding 7 until demand is known");
  EXPECT_EQ(scaled.tick(150).wanted, 10u);
}

TEST(Autoscale, keeps_what_runs_after_a_restart_until_the_window_has_been_seen) {
  Scaled scaled;
  scaled.state = {};
  scaled.input.ready = 5;
  scaled.input.starting = 1;
  scaled.is_starting_at_once = false;
  EXPECT_EQ(scaled.tick(20).wanted, 6u);
  scaled.input.ready = 6;
  scaled.input.starting = 0;
  scaled.run(59s, 20);
  EXPECT_EQ(scaled.decision.wanted, 6u);
  scaled.run(4s, 20);
  EXPECT_EQ(scaled.decision.wanted, 2u);
}

TEST(Autoscale, within_the_tolerance_only_what_lasts_counts) {
  Scaled scaled;
  scaled.run(29s, 17);
  EXPECT_EQ(scaled.decision.wanted, 1u);
  EXPECT_EQ(scaled.decision.reason,
            "demand 17.0 at 16 per replica needs 2, holding 1 unless that lasts for 30 s: it is "
            "within 10 %");
  scaled.run(2s, 17);
  EXPECT_EQ(scaled.decision.wanted, 2u);
  EXPECT_EQ(scaled.tick(32).wanted, 2u);
}

TEST(Autoscale, a_window_for_going_up_asks_for_demand_that_lasts) {
  ScaleOptions options;
  options.up_window = 10s;
  Scaled scaled(options);
  scaled.run(10s, 100);
  EXPECT_EQ(scaled.decision.wanted, 1u);
  scaled.tick(16);
  scaled.run(10s, 100);
  EXPECT_EQ(scaled.decision.wanted, 1u);
  scaled.tick(60);
  EXPECT_EQ(scaled.decision.wanted, 4u) << "as many as were needed all the time";
}

TEST(Autoscale, says_until_when_a_peak_holds_the_number) {
  Scaled scaled;
  scaled.run(90s, 30);
  scaled.run(10s, 50);
  scaled.run(5s, 20);
  EXPECT_EQ(scaled.decision.wanted, 4u);
  EXPECT_EQ(scaled.decision.reason,
            "demand 20.0 at 16 per replica needs 2, holding 4 until 04:02:41: the peak of the last "
            "60 s");
}

TEST(Autoscale, an_idle_deployment_is_not_looked_at_and_wakes_up_at_its_first_requests) {
  Scaled scaled;
  scaled.run(2s, 0);
  ASSERT_EQ(scaled.decision.look_again, std::nullopt);
  scaled.pass(10min, 0);
  scaled.pass(500ms, 40);
  EXPECT_EQ(scaled.look().wanted, 3u) << "ten idle minutes must not dilute half a second";
}

TEST(Autoscale, a_control_thread_that_stood_still_sees_no_demand_that_was_not_there) {
  Scaled scaled;
  scaled.run(60s, 16);
  scaled.pass(30s, 16);
  EXPECT_EQ(scaled.look().wanted, 1u);
}

TEST(Autoscale, is_bounded_and_repeatable_for_any_input) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SeededRandom random(seed);
    Scaled scaled;
    scaled.is_starting_at_once = false;
    for (int i = 0; i < 200; ++i) {
      if (random.below(20) == 0) {
        scaled.input.min = 1 + static_cast<std::uint32_t>(random.below(5));
        scaled.input.max = scaled.input.min + static_cast<std::uint32_t>(random.below(20));
        scaled.input.concurrency = 1 + static_cast<std::uint32_t>(random.below(64));
      }
      scaled.input.starting = static_cast<std::uint32_t>(random.below(3));
      scaled.is_silent = random.below(10) == 0;
      const std::uint32_t before = scaled.decision.wanted;
      ScaleState twin = scaled.state;
      scaled.pass(Duration(static_cast<std::int64_t>(random.below(3'000'000'000))),
                  random.unit() * 1000);
      const ScaleDecision decision = scaled.look();
      ASSERT_GE(decision.wanted, scaled.input.min);
      ASSERT_LE(decision.wanted, scaled.input.max);
      ASSERT_FALSE(decision.reason.empty());
      if (scaled.is_silent) {
        ASSERT_EQ(decision.wanted, std::clamp(before, scaled.input.min, scaled.input.max));
      }
      ASSERT_EQ(autoscale({}, scaled.input, twin).wanted, decision.wanted);
    }
  }
}

TEST(Autoscale, more_demand_never_leads_to_fewer_replicas) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SeededRandom random(seed);
    Scaled scaled;
    scaled.input.max = 40;
    for (int i = 0; i < 300; ++i) {
      Scaled more = scaled;  // with the same past
      const double demand = random.unit() * (random.below(4) == 0 ? 600 : 60);
      scaled.tick(demand);
      more.tick(demand + random.unit() * 30);
      ASSERT_LE(scaled.decision.wanted, more.decision.wanted) << "seed " << seed << " turn " << i;
    }
  }
}

TEST(Autoscale, equal_demand_settles_at_what_it_needs_and_stays) {
  SeededRandom random(3);
  for (int i = 0; i < 100; ++i) {
    Scaled scaled;
    scaled.input.max = 100;
    scaled.tick(random.unit() * 1000);
    const double demand = random.unit() * 1000;
    scaled.run(120s, demand);
    const std::uint32_t wanted = scaled.decision.wanted;
    EXPECT_GE(wanted, std::max(1u, needed(demand)));
    EXPECT_LE(wanted, std::max(1.0, std::ceil(demand / 16 / 0.9)));
    scaled.changes = 0;
    scaled.run(300s, demand);
    EXPECT_EQ(scaled.changes, 0);
  }
}

}  // namespace
}  // namespace staithe::reconcile
