#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace staithe::model {

// Ids are UUIDs in lower case; node ids are host labels, replica ids are derived from their
// deployment.
using Id = std::string;

// The shared life-cycle states, by their wire number.
enum class Status : std::uint8_t {
  unspecified = 0,
  creating = 1,
  updating = 2,
  deleting = 3,
  error = 4,
  failed = 5,
  ready = 6,
};
std::string_view status_name(Status status);  // "STATUS_READY"

enum class ConditionStatus : std::uint8_t { unknown = 0, is_false = 1, is_true = 2 };

// One observed aspect of a resource; at most one per (type, zone).
struct Condition {
  std::string type;  // one of the names below
  ConditionStatus status = ConditionStatus::unknown;
  Timestamp last_update_time;  // when status or reason last changed
  std::string reason;          // CamelCase word
  std::string message;         // never empty
  std::string zone;            // empty: about the whole resource

  bool operator==(const Condition&) const = default;
};

namespace condition {
inline constexpr std::string_view ready = "Ready";
inline constexpr std::string_view progressing = "Progressing";
inline constexpr std::string_view allocated = "Allocated";
inline constexpr std::string_view endpoint_ready = "EndpointReady";
inline constexpr std::string_view auth_ready = "AuthReady";
inline constexpr std::string_view model_available = "ModelAvailable";
inline constexpr std::string_view scheduled = "Scheduled";
inline constexpr std::string_view replicas_ready = "ReplicasReady";
inline constexpr std::string_view routable = "Routable";
}  // namespace condition

// Puts `condition` into `conditions`, keeping the documented order (Ready, Progressing, then the
// rest as listed above, whole-resource before zones). `last_update_time` moves only when status or
// reason change; a changed message alone is taken over and keeps the time. True when anything
// visible changed.
bool set_condition(std::vector<Condition>& conditions, Condition condition);

// Removes the conditions for which `is_stale(condition)` holds. True when one was removed.
template <typename Predicate>
bool remove_conditions(std::vector<Condition>& conditions, Predicate is_stale) {
  return std::erase_if(conditions, is_stale) > 0;
}

const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type,
                                std::string_view zone = {});

// What every resource shows beside its own fields.
struct StatusBase {
  Timestamp created_at;
  Timestamp updated_at;
  Status status = Status::unspecified;
  std::vector<Condition> conditions;

  // Bookkeeping that no API answer shows.
  std::uint64_t generation = 1;           // of the spec; raised by each update that changes it
  std::uint64_t observed_generation = 0;  // the last generation that a reconciler brought to READY
  bool was_ready = false;                 // decides CREATING or UPDATING while work is under way

  bool operator==(const StatusBase&) const = default;
};

// The later of `now` and the smallest time the API can show after `last`: updatedAt is strictly
// increasing.
Timestamp next_updated_at(Timestamp last, Timestamp now);

}  // namespace staithe::model
