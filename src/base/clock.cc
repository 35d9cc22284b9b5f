#include "base/clock.h"

namespace staithe {

Timestamp SystemClock::now() const {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

Instant SystemClock::instant() const {
  return std::chrono::steady_clock::now();
}

FakeClock::FakeClock(Timestamp start) : start_(start) {}

Timestamp FakeClock::now() const {
  return start_ + std::chrono::duration_cast<std::chrono::microseconds>(
                      Duration{elapsed_ns_.load(std::memory_order_acquire)});
}

Instant FakeClock::instant() const {
  // An hour in, so that subtracting a timeout never reaches the epoch.
  return Instant{std::chrono::hours{1} + Duration{elapsed_ns_.load(std::memory_order_acquire)}};
}

void FakeClock::advance(Duration by) {
  elapsed_ns_.fetch_add(by.count(), std::memory_order_acq_rel);
}

}  // namespace staithe
