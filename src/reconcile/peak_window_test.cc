#include "reconcile/peak_window.h"

#include <gtest/gtest.h>

#include <deque>
#include <utility>

#include "base/random.h"

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;

Instant at(Duration time) {
  return Instant{} + 1000h + time;
}

TEST(PeakWindow, holds_a_peak_for_the_whole_window_and_at_most_a_sixtieth_longer) {
  for (const Duration window : {Duration(60s), Duration(10min), Duration(1s)}) {
    SeededRandom random(5);
    PeakWindow peaks(window);
    std::deque<std::pair<Instant, double>> all;
    Instant now = at(0s);
    for (int i = 0; i < 5000; ++i) {
      now += Duration(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(
          random.below(50) == 0 ? window.count() * 2 : window.count() / 20))));
      const double value = random.unit();
      peaks.add(now, value);
      all.emplace_back(now, value);
      double least = 0;
      double most = 0;
      for (const auto& [when, seen] : all) {
        if (when >= now - window) least = std::max(least, seen);
        if (when >= now - window - window / 60) most = std::max(most, seen);
      }
      ASSERT_GE(peaks.peak(), least);
      ASSERT_LE(peaks.peak(), most);
      while (all.front().first < now - 2 * window) all.pop_front();
    }
  }
}

TEST(PeakWindow, says_when_the_last_value_above_a_bound_will_be_gone) {
  PeakWindow peaks(60s);
  peaks.add(at(0s), 5);
  peaks.add(at(10s), 7);
  peaks.add(at(20s), 3);
  EXPECT_EQ(peaks.has_above_until(4), at(71s));
  EXPECT_EQ(peaks.has_above_until(2), at(81s));
  EXPECT_EQ(peaks.has_above_until(7), std::nullopt);
  peaks.add(at(71s), 0);
  EXPECT_EQ(peaks.peak(), 3);
}

TEST(PeakWindow, another_window_keeps_what_was_in_the_old_one) {
  PeakWindow peaks(60s);
  peaks.add(at(0s), 9);
  peaks.add(at(30s), 5);
  peaks.add(at(80s) + 300ms, 2);
  PeakWindow longer = peaks.resized(at(80s) + 300ms, 600s);
  EXPECT_EQ(longer.peak(), 5);
  longer.add(at(620s), 1);
  EXPECT_EQ(longer.peak(), 5);
  longer.add(at(670s), 1);
  EXPECT_EQ(longer.peak(), 2) << "the newest value was lost or dated too late";
  longer.add(at(700s), 1);
  EXPECT_EQ(longer.peak(), 1);
  EXPECT_EQ(peaks.resized(at(80s) + 300ms, 10s).peak(), 2);
}

}  // namespace
}  // namespace staithe::reconcile
