#include "service/lifecycle.h"

namespace staithe::service {
namespace {

using model::ConditionStatus;

void set_progress(model::StatusBase& status, std::string ready_reason, std::string progress_reason,
                  const std::string& message) {
  model::set_condition(status.conditions, {.type = std::string(model::condition::ready),
                                           .status = ConditionStatus::is_false,
                                           .last_update_time = status.updated_at,
                                           .reason = std::move(ready_reason),
                                           .message = message,
                                           .zone = {}});
  model::set_condition(status.conditions, {.type = std::string(model::condition::progressing),
                                           .status = ConditionStatus::is_true,
                                           .last_update_time = status.updated_at,
                                           .reason = std::move(progress_reason),
                                           .message = message,
                                           .zone = {}});
}

}  // namespace

void mark_created(model::StatusBase& status, Timestamp now, const std::string& message) {
  status.created_at = now;
  status.updated_at = now;
  status.status = model::Status::creating;
  set_progress(status, "Creating", "Creating", message);
}

void mark_updated(model::StatusBase& status, Timestamp now, const std::string& message) {
  status.updated_at = model::next_updated_at(status.updated_at, now);
  ++status.generation;
  const bool is_still_creating = status.status == model::Status::creating && !status.was_ready;
  status.status = is_still_creating ? model::Status::creating : model::Status::updating;
  set_progress(status, is_still_creating ? "Creating" : "Reconciling",
               is_still_creating ? "Creating" : "Updating", message);
}

void mark_deleting(model::StatusBase& status, Timestamp now, const std::string& message) {
  status.updated_at = model::next_updated_at(status.updated_at, now);
  status.status = model::Status::deleting;
  set_progress(status, "Deleting", "Deleting", message);
}

}  // namespace staithe::service
