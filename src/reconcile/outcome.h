#pragma once

#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/result.h"

namespace staithe::reconcile {

// How a pass ended: settled (nothing to do until something changes), look again after a while, or
// failed (the same again, with back-off). Waiting is "look again", never sleeping.
struct Outcome {
  std::optional<Duration> again_after;
  std::optional<Error> error;
  // It could use capacity that is not there: to be looked at when some may have become free.
  bool waits_for_capacity = false;

  static Outcome settled() { return {}; }
  static Outcome again(Duration after) {
    Outcome outcome;
    outcome.again_after = after;
    return outcome;
  }
  static Outcome failed(Error error) {
    Outcome outcome;
    outcome.error = std::move(error);
    return outcome;
  }

  // Keeps the earlier of both times.
  void look_again(Duration after) {
    again_after = again_after ? std::min(*again_after, after) : after;
  }
};

// The outcome of a pass that ends with this error of a commit. Somebody else wrote meanwhile: what
// was decided is out of date, so look again at once. Everything else is retried with back-off; that
// includes a taken key, whose holder may be a record that cannot be read.
Outcome outcome_of_failed_commit(Error error);

}  // namespace staithe::reconcile
