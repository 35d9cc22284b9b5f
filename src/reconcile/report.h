#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "model/resource.h"

namespace staithe::reconcile {

enum class Problem : std::uint8_t {
  none,
  recoverable,  // reconciling goes on and may cure it
  terminal,     // only a changed spec can
};

// What a pass found out, as far as the life cycle asks.
struct Facts {
  bool is_settled = false;      // the spec is in place as a whole and nothing old is left
  bool is_minimum_met = false;  // what READY promised still holds
  Problem problem = Problem::none;
};

// The only place that decides a step of the life cycle. DELETING and FAILED are left by a call of
// the API alone, and waiting (for capacity, for a start) is never an ERROR.
model::Status next_status(model::Status current, bool was_ready, const Facts& facts);

// What Ready and Progressing say beside a status. `detail` is the sentence that explains it.
std::vector<model::Condition> life_cycle_conditions(model::Status status, bool was_ready,
                                                    const std::string& detail);

// Moves `status` to `next` with exactly these conditions beside Ready and Progressing (the times in
// them do not matter). True when a caller of the API can see a difference; then updated_at has
// moved on as well. `detail` is for Ready while it is not True.
bool update_status(model::StatusBase& status, model::Status next,
                   std::vector<model::Condition> conditions, const std::string& detail,
                   Timestamp now);

// Whether `after` says what `before` does in other words: they differ in nothing but messages and
// times, by which no program decides.
bool is_rewording(model::StatusBase before, model::StatusBase after);

// All conditions but Ready and Progressing, to be kept as they are.
std::vector<model::Condition> aspects_of(const std::vector<model::Condition>& conditions);

// The message of the first condition that is False, for `detail`; `otherwise` if there is none.
std::string explain(const std::vector<model::Condition>& conditions, std::string otherwise);

}  // namespace staithe::reconcile
