#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/metrics.h"
#include "net/event_loop.h"

namespace staithe::gateway {

// Where a request is on its way.
enum class RequestPhase : std::uint8_t {
  auth,        // somebody else is asked whose key it has
  receiving,   // its body is not whole yet
  queued,      // all replicas are full
  connecting,  // to its replica
  waiting,     // for the head of the answer
  streaming,   // the answer
  over,
};

// Counts one loop's open requests by phase in gauges that all loops share. What happens within a
// turn is added up and told at its end, so that a request which passes through four phases in one
// turn touches no shared number for it. One loop.
class PhaseBook {
 public:
  PhaseBook(net::EventLoop& loop, Metrics& metrics);
  ~PhaseBook();
  PhaseBook(const PhaseBook&) = delete;
  PhaseBook& operator=(const PhaseBook&) = delete;

  // `over` is nowhere.
  void move(RequestPhase from, RequestPhase to);

 private:
  static constexpr std::size_t phase_count = 6;
  void tell();

  net::EventLoop& loop_;
  std::array<Gauge*, phase_count> gauges_;
  std::array<std::int64_t, phase_count> untold_{};
  net::TurnWorkId work_ = 0;
};

}  // namespace staithe::gateway
