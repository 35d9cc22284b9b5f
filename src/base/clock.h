#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace staithe {

// Wall time at the resolution the API shows (RFC 3339 with up to six fraction digits).
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;
// Time that never goes back, for deadlines and durations within this process.
using Instant = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

// The only source of time. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp now() const = 0;
  virtual Instant instant() const = 0;
};

class SystemClock final : public Clock {
 public:
  Timestamp now() const override;
  Instant instant() const override;
};

// A clock that stands still until told otherwise. Any thread.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(Timestamp start = Timestamp{std::chrono::microseconds{1'795'575'353'000'000}});
  Timestamp now() const override;
  Instant instant() const override;
  void advance(Duration by);

 private:
  Timestamp start_;
  std::atomic<std::int64_t> elapsed_ns_{0};
};

}  // namespace staithe
