#include "model/resource.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/check.h"

namespace staithe::model {
namespace {

std::size_t rank(std::string_view type) {
  static constexpr std::array order = {
      condition::ready,          condition::progressing,    condition::allocated,
      condition::endpoint_ready, condition::auth_ready,     condition::model_available,
      condition::scheduled,      condition::replicas_ready, condition::routable};
  return static_cast<std::size_t>(std::find(order.begin(), order.end(), type) - order.begin());
}

// Whole-resource entries come before zones; zones keep the order in which they were first reported.
auto sort_key(const Condition& condition) {
  return std::tuple(rank(condition.type), !condition.zone.empty());
}

}  // namespace

std::string_view status_name(Status status) {
  static constexpr std::array<std::string_view, 7> names = {
      "STATUS_UNSPECIFIED", "STATUS_CREATING", "STATUS_UPDATING", "STATUS_DELETING",
      "STATUS_ERROR",       "STATUS_FAILED",   "STATUS_READY"};
  const auto index = static_cast<std::size_t>(status);
  CHECK(index < names.size());
  return names[index];
}

bool set_condition(std::vector<Condition>& conditions, Condition condition) {
  CHECK(!condition.message.empty() && !condition.reason.empty());
  for (Condition& present : conditions) {
    if (present.type != condition.type || present.zone != condition.zone) continue;
    if (present.status == condition.status && present.reason == condition.reason) {
      condition.last_update_time = present.last_update_time;
    }
    if (present == condition) return false;
    present = std::move(condition);
    return true;
  }
  conditions.push_back(std::move(condition));
  std::stable_sort(conditions.begin(), conditions.end(), [](const auto& left, const auto& right) {
    return sort_key(left) < sort_key(right);
  });
  return true;
}

const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type,
                                std::string_view zone) {
  for (const Condition& condition : conditions) {
    if (condition.type == type && condition.zone == zone) return &condition;
  }
  return nullptr;
}

Timestamp next_updated_at(Timestamp last, Timestamp now) {
  return std::max(now, last + std::chrono::milliseconds{1});
}

}  // namespace staithe::model
