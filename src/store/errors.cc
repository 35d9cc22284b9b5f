#include "store/errors.h"

#include <fmt/format.h>

#include <string>

#include "store/records.h"

namespace staithe::store::errors {
namespace {

ResourceReference reference(Kind kind, std::string_view id) {
  return {.type = std::string(kind_name(kind)), .name = std::string(id), .description = {}};
}

Error try_again(std::string_view message) {
  return {.code = Code::unavailable,
          .message = std::string(message),
          .reason = std::string(reason_unavailable),
          .retry_after_s = 1};
}

}  // namespace

Error id_taken(Kind kind, std::string_view id) {
  return {.code = Code::already_exists,
          .message = fmt::format("{} {} already exists", kind_name(kind), id),
          .reason = std::string(reason_id_taken),
          .resources = {reference(kind, id)}};
}

Error key_taken(const UniqueKey& key, Kind holder_kind, std::string_view holder_id) {
  return {.code = Code::already_exists,
          .message = fmt::format("{} {} is already taken", key.scope, key.key),
          .reason = std::string(reason_key_taken),
          .violations = {{.field = key.scope, .description = key.key}},
          .resources = {reference(holder_kind, holder_id)}};
}

Error version_changed(Kind kind, std::string_view id) {
  return {.code = Code::aborted,
          .message = fmt::format("{} {} was changed by somebody else", kind_name(kind), id),
          .reason = std::string(reason_version_changed),
          .resources = {reference(kind, id)}};
}

Error unavailable() {
  return try_again("the store is not available, nothing was changed");
}

Error unreadable() {
  return try_again("the store cannot be read at the moment");
}

Error queue_full() {
  return try_again("too many changes are waiting to be stored, nothing was changed");
}

}  // namespace staithe::store::errors
