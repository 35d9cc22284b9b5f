#include "reconcile/report.h"

#include <utility>

#include "base/check.h"

namespace staithe::reconcile {
namespace {

using model::Condition;
using model::ConditionStatus;
using model::Status;

Condition make(std::string_view type, ConditionStatus status, std::string_view reason,
               std::string message) {
  Condition condition;
  condition.type = type;
  condition.status = status;
  condition.reason = reason;
  condition.message = std::move(message);
  return condition;
}

}  // namespace

Status next_status(Status current, bool was_ready, const Facts& facts) {
  switch (current) {
    case Status::deleting:
    case Status::failed:
      return current;
    case Status::ready:
      return facts.is_settled || facts.is_minimum_met ? Status::ready : Status::error;
    case Status::error:
      return facts.is_settled ? Status::ready : Status::error;
    case Status::unspecified:
    case Status::creating:
    case Status::updating:
      break;
  }
  if (facts.is_settled) return Status::ready;
  if (facts.problem == Problem::terminal) return Status::failed;
  if (facts.problem == Problem::recoverable) return Status::error;
  if (current != Status::unspecified) return current;
  return was_ready ? Status::updating : Status::creating;
}

std::vector<Condition> life_cycle_conditions(Status status, bool was_ready,
                                             const std::string& detail) {
  using enum ConditionStatus;
  const auto both = [&detail](std::string_view ready_reason, ConditionStatus progressing,
                              std::string_view progressing_reason, std::string message) {
    return std::vector<Condition>{
        make(model::condition::ready, is_false, ready_reason, detail),
        make(model::condition::progressing, progressing, progressing_reason, std::move(message))};
  };
  switch (status) {
    case Status::ready:
      return {make(model::condition::ready, is_true, "AsExpected", "Everything is as asked for."),
              make(model::condition::progressing, is_false, "Settled", "Nothing is left to do.")};
    case Status::unspecified:
    case Status::creating:
      return both("Creating", is_true, "Creating", "The first provisioning is under way.");
    case Status::updating:
      return both("Reconciling", is_true, "Updating", "A change is being rolled out.");
    case Status::deleting:
      return both("Deleting", is_true, "Deleting", "The removal is under way.");
    case Status::error:
      return both("Degraded", is_true, was_ready ? "Updating" : "Creating",
                  "Reconciling goes on until the problem is gone.");
    case Status::failed:
      return both("Failed", is_false, "Settled", "Only an update or a deletion can help.");
  }
  CHECK_THAT(false, "a status that does not exist");
}

bool is_rewording(model::StatusBase before, model::StatusBase after) {
  for (model::StatusBase* status : {&before, &after}) {
    status->updated_at = {};
    for (Condition& condition : status->conditions) {
      condition.message.clear();
      condition.last_update_time = {};
    }
  }
  return before == after;
}

bool update_status(model::StatusBase& status, Status next, std::vector<Condition> conditions,
                   const std::string& detail, Timestamp now) {
  bool is_visible = status.status != next;
  status.status = next;
  for (Condition& condition : life_cycle_conditions(next, status.was_ready, detail)) {
    conditions.push_back(std::move(condition));
  }
  is_visible |=
      model::remove_conditions(status.conditions, [&conditions](const Condition& present) {
        return model::find_condition(conditions, present.type, present.zone) == nullptr;
      });
  for (Condition& condition : conditions) {
    condition.last_update_time = now;
    is_visible |= model::set_condition(status.conditions, std::move(condition));
  }
  if (next == Status::ready) {
    status.was_ready = true;
    status.observed_generation = status.generation;
  }
  if (is_visible) status.updated_at = model::next_updated_at(status.updated_at, now);
  return is_visible;
}

std::vector<Condition> aspects_of(const std::vector<Condition>& conditions) {
  std::vector<Condition> aspects = conditions;
  model::remove_conditions(aspects, [](const Condition& condition) {
    return condition.type == model::condition::ready ||
           condition.type == model::condition::progressing;
  });
  return aspects;
}

std::string explain(const std::vector<Condition>& conditions, std::string otherwise) {
  for (const Condition& condition : conditions) {
    if (condition.status == ConditionStatus::is_false) return condition.message;
  }
  return otherwise;
}

}  // namespace staithe::reconcile
