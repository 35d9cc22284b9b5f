#pragma once

#include <cstddef>

#include "base/clock.h"

namespace staithe::net {

// Tells since when a body has been slower than it must be, so that a byte now and then does not
// keep a connection for ever. Each `bytes_min` begin a new period; within one, fewer count as
// nothing at all. A body that is fast for once has no credit from it.
class PaceWatch {
 public:
  void begin(Instant now) {
    begun_at_ = now;
    bytes_ = 0;
  }
  void take(std::size_t bytes, std::size_t bytes_min, Instant now) {
    bytes_ += bytes;
    if (bytes_ >= bytes_min) begin(now);
  }
  Instant begun_at() const { return begun_at_; }

 private:
  Instant begun_at_{};
  std::size_t bytes_ = 0;  // in this period
};

}  // namespace staithe::net
