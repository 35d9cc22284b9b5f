#include "reconcile/outcome.h"

#include "store/store.h"

namespace staithe::reconcile {

Outcome outcome_of_failed_commit(Error error) {
  if (error.reason == store::reason_version_changed) return Outcome::again(Duration::zero());
  return Outcome::failed(std::move(error));
}

}  // namespace staithe::reconcile
