#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "model/catalogue.h"
#include "sim/control_plane.h"
#include "sim/disk.h"
#include "sim/machines.h"
#include "sim/organization.h"
#include "sim/planted.h"
#include "sim/stage.h"
#include "sim/witness.h"

namespace staithe::sim {

struct Story {
  std::uint64_t seed = 0;
  Bug bug = Bug::none;
  Trace::Mode trace = Trace::Mode::off;
};

// What became of it.
struct Report {
  std::optional<Invariant> failed;  // absent: clean
  std::string what;
  std::deque<std::string> last_events;
  std::uint64_t ticks = 0;
  std::uint64_t status_writes = 0;
  std::uint64_t status_changes = 0;
  Counters counters;
};

// Tells one story from its beginning to its end. Equal stories are equal in every detail.
Report simulate(const Story& story);

}  // namespace staithe::sim
