#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

// Small pieces for values kept as JSON. Included by .cc files alone: nlohmann's header is heavy.
//
// Each reader leaves its target untouched when the key is missing and throws on a value of the
// wrong type or out of range; decode_json() is where those exceptions end.
namespace staithe::model::json_text {

using Json = nlohmann::json;

// Never throws: bytes that are not UTF-8 become U+FFFD.
inline std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

inline void read_value(const Json& json, std::string& out) {
  json.get_to(out);
}
inline void read_value(const Json& json, bool& out) {
  json.get_to(out);
}
template <typename T>
  requires std::is_unsigned_v<T>
void read_value(const Json& json, T& out) {
  if (!json.is_number_unsigned()) throw std::range_error("a number must not be negative");
  const auto value = json.get<std::uint64_t>();
  if (value > std::numeric_limits<T>::max()) throw std::range_error("a number is too large");
  out = static_cast<T>(value);
}
inline void read_value(const Json& json, Timestamp& out) {
  if (!json.is_number_integer()) throw std::range_error("a time must be whole microseconds");
  out = Timestamp{std::chrono::microseconds{json.get<std::int64_t>()}};
}
inline void read_value(const Json& json, std::map<std::string, std::string>& out) {
  json.get_to(out);
}
template <typename T>
void read_value(const Json& json, std::vector<T>& out) {
  if (!json.is_array()) throw std::range_error("a list must be an array");
  std::vector<T> items(json.size());
  for (std::size_t i = 0; i < items.size(); ++i) read_value(json[i], items[i]);
  out = std::move(items);
}

template <typename T>
void read(const Json& object, const char* key, T& out) {
  if (const auto found = object.find(key); found != object.end()) read_value(*found, out);
}

// An enum by its number, at most `last`.
template <typename Enum>
void read_enum(const Json& object, const char* key, Enum last, Enum& out) {
  auto number = static_cast<std::underlying_type_t<Enum>>(out);
  read(object, key, number);
  if (number > static_cast<std::underlying_type_t<Enum>>(last)) {
    throw std::range_error("an enum has an unknown number");
  }
  out = static_cast<Enum>(number);
}

inline std::int64_t to_json(Timestamp time) {
  return time.time_since_epoch().count();
}

// Parses `text` and hands the object to `read_object`; whatever is wrong becomes DATA_LOSS.
template <typename Reader>
auto decode_json(std::string_view text, Reader read_object)
    -> Result<decltype(read_object(std::declval<const Json&>()))> {
  std::string problem;
  try {
    const Json json = Json::parse(text);
    if (json.is_object()) return read_object(json);
    problem = "it is not an object";
  } catch (const Json::parse_error& failure) {
    // Its own text quotes the input, which may hold a secret.
    problem = "it is not JSON at byte " + std::to_string(failure.byte);
  } catch (const std::exception& failure) {
    problem = failure.what();
  }
  return Error{.code = Code::data_loss,
               .message = "a stored value cannot be read: " + problem,
               .reason = "STORED_VALUE_UNREADABLE"};
}

}  // namespace staithe::model::json_text
