#pragma once

#include <chrono>
#include <string>

#include "app/stop_signal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "store/sqlite/ownership.h"

namespace staithe::app {

// How one server follows another on the same data directory and ports, so that clients do not
// notice:
//
//   the next:   binds the ports, stands in line ─ waits ─ reads everything ─ listens, leaves the
//   line the former:               SIGTERM ─ ends its control plane ─ gives up ─ ┄┄┄┄┄┄┄ ─ drains,
//   exits
//
// At every moment one of them listens, and one at most looks after engines and database. The former
// goes on taking inference requests, by the routes it knows, until the next one listens; calls of
// the API are asked to try again for as long as that takes.
struct Takeover {
  store::Ownership ownership;
  UniqueFd place_in_line;  // kept until we serve; closed if nobody was before us
};

// Takes the database at `path`, after waiting for another server to give it up for at most `wait`.
// ABORTED when we are told to stop meanwhile.
Result<Takeover> take_over(const std::string& path, std::chrono::milliseconds wait,
                           StopSignal& stop_signal, const Clock& clock, const Log& log);

}  // namespace staithe::app
