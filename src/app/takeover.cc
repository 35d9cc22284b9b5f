#include "app/takeover.h"

#include <utility>

namespace staithe::app {
namespace {

constexpr std::chrono::milliseconds look_every{5};

}  // namespace

Result<Takeover> take_over(const std::string& path, std::chrono::milliseconds wait,
                           StopSignal& stop_signal, const Clock& clock, const Log& log) {
  auto taken = store::Ownership::take(path);
  if (taken) return Takeover{*std::move(taken), UniqueFd()};
  if (taken.error().reason != "DATABASE_IN_USE" || wait.count() == 0) return taken.error();

  TRY_ASSIGN(UniqueFd place_in_line, store::stand_in_line(path));
  log.info("waiting until the server that has the data directory is told to stop",
           {{"why", taken.error().message}, {"limit_ms", wait.count()}});
  const Instant due = clock.instant() + wait;
  while (clock.instant() < due) {
    if (stop_signal.wait_for(look_every)) {
      return Error{.code = Code::aborted, .message = "told to stop while waiting for " + path};
    }
    taken = store::Ownership::take(path);
    if (taken) return Takeover{*std::move(taken), std::move(place_in_line)};
    if (taken.error().reason != "DATABASE_IN_USE") break;
  }
  return taken.error();
}

}  // namespace staithe::app
