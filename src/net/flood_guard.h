#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace staithe::net {

// A budget that refills with time: what a peer may make us do for nothing (a token bucket).
class FloodGuard {
 public:
  FloodGuard(double burst, double per_second)
      : burst_(burst), per_second_(per_second), left_(burst) {}

  // False when the budget is exceeded.
  bool take(Instant now, double cost = 1) {
    if (now > refilled_at_) {
      const double seconds = std::chrono::duration<double>(now - refilled_at_).count();
      left_ = std::min(burst_, left_ + seconds * per_second_);
    }
    refilled_at_ = std::max(refilled_at_, now);
    left_ -= cost;
    return left_ >= 0;
  }
  // What the peer has earned with work that was not for nothing.
  void give(double amount) { left_ = std::min(burst_, left_ + amount); }

 private:
  double burst_;
  double per_second_;
  double left_;
  Instant refilled_at_{};
};

}  // namespace staithe::net
