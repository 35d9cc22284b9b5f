#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace staithe::reconcile {

// The highest value of the last `window`, in bounded space: the window is cut into 60 parts, and a
// value counts until the part it fell into is older than the window. So it is kept for the whole
// window and at most a sixtieth longer.
class PeakWindow {
 public:
  PeakWindow() : PeakWindow(Duration{}) {}
  explicit PeakWindow(Duration window)
      : part_(std::max<Duration::rep>(1, window.count() / part_count)) {}

  // The same with another window. What is older than the window was stays forgotten.
  PeakWindow resized(Instant now, Duration window) const {
    PeakWindow other(window);
    for (std::int64_t part = std::max<std::int64_t>(0, newest_ - part_count); part <= newest_;
         ++part) {
      const Instant last_of_part(Duration{(part + 1) * part_ - 1});
      other.add(std::min(last_of_part, now), peaks_[index(part)]);
    }
    return other;
  }

  // `now` does not go back.
  void add(Instant now, double value) {
    const std::int64_t part = now.time_since_epoch().count() / part_;
    if (part - newest_ >= size) {
      peaks_.fill(0);
    } else {
      for (std::int64_t i = newest_ + 1; i <= part; ++i) peaks_[index(i)] = 0;
    }
    newest_ = part;
    peaks_[index(part)] = std::max(peaks_[index(part)], value);
  }

  // Of what is in the window at the latest add(); 0 if nothing is.
  double peak() const { return *std::max_element(peaks_.begin(), peaks_.end()); }

  // When no value above `bound` will be left in the window; absent: there is none.
  std::optional<Instant> has_above_until(double bound) const {
    for (std::int64_t part = newest_; part > newest_ - size; --part) {
      if (peaks_[index(part)] > bound) return Instant(Duration{(part + size) * part_});
    }
    return std::nullopt;
  }

  bool operator==(const PeakWindow&) const = default;

 private:
  static constexpr std::int64_t part_count = 60;
  static constexpr std::int64_t size = part_count + 1;

  static std::size_t index(std::int64_t part) { return static_cast<std::size_t>(part % size); }

  std::int64_t part_;  // nanoseconds
  std::int64_t newest_ = 0;
  std::array<double, size> peaks_{};
};

}  // namespace staithe::reconcile
