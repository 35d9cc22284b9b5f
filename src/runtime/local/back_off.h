#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace staithe::runtime {

struct BackOffOptions {
  Duration delay_first = std::chrono::milliseconds{200};
  Duration delay_max = std::chrono::seconds{30};
  Duration healthy_life_min = std::chrono::seconds{60};  // serving this long forgives past crashes
  std::uint32_t crash_loop_count = 5;
};

// When a replica that crashes may be started again. A value: it is told the time.
class BackOff {
 public:
  explicit BackOff(const BackOffOptions& options) : options_(options) {}

  void on_start(Instant now);
  void on_ready(Instant now);
  void on_exit(Instant now);
  // It lost its port to somebody else: no fault of the engine, so it may start again at once.
  void on_port_lost(Instant now);

  Instant restart_at() const { return restart_at_; }
  // Starts after the first.
  std::uint32_t restarts() const { return starts_ == 0 ? 0 : starts_ - 1; }
  // It has ended again and again without serving for long in between.
  bool is_crash_loop() const { return crashes_ >= options_.crash_loop_count; }
  bool was_ever_ready() const { return was_ever_ready_; }

 private:
  BackOffOptions options_;
  std::uint32_t starts_ = 0;
  std::uint32_t crashes_ = 0;     // in a row
  std::uint32_t ports_lost_ = 0;  // in a row
  bool is_ready_ = false;         // in this run
  bool was_ever_ready_ = false;
  Instant ready_at_;
  Instant restart_at_;
};

}  // namespace staithe::runtime
