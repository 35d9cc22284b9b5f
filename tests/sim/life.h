#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"

namespace staithe::sim {

// Whether this process of ours is alive. It may end between any two of its calls; from then on
// nothing that it does gets through.
class Life {
 public:
  bool is_over() const { return is_over_; }
  // It ends before the call after the next `calls`.
  void end_after(std::uint64_t calls) { calls_left_ = calls; }
  void end_never() { calls_left_.reset(); }
  // Before every call. False: it has come to its end and the call does not happen.
  bool goes_on() {
    if (is_over_) return false;
    if (!calls_left_) return true;
    if (*calls_left_ == 0) {
      is_over_ = true;
      return false;
    }
    *calls_left_ -= 1;
    return true;
  }

 private:
  bool is_over_ = false;
  std::optional<std::uint64_t> calls_left_;
};

inline Error gone() {
  return {.code = Code::unavailable, .message = "this process has ended", .reason = "GONE"};
}

}  // namespace staithe::sim
