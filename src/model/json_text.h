#pragma once

#include <simdjson.h>

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

// Small pieces for values kept as JSON. Included by .cc files alone: these headers are heavy.
//
// nlohmann's library writes, simdjson reads: a server reads all it has when it starts. Each reader
// leaves its target untouched when the key is missing and throws on a value of the wrong type or
// out of range; decode_json() is where those exceptions end.
namespace staithe::model::json_text {

using Json = nlohmann::json;
using Value = simdjson::dom::element;

// Never throws: bytes that are not UTF-8 become U+FFFD.
inline std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

inline std::int64_t to_json(Timestamp time) {
  return time.time_since_epoch().count();
}

// An object that is being read. It and all that it gives are good for as long as decode_json()'s
// reader runs.
class Object {
 public:
  Object() = default;  // without keys
  explicit Object(simdjson::dom::object object) : object_(object) {}

  std::optional<Value> find(std::string_view key) const {
    Value value;
    if (!object_ || object_->at_key(key).get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
  }
  bool contains(std::string_view key) const { return find(key).has_value(); }
  // The object at `key`, or one without keys.
  Object child(std::string_view key) const {
    const std::optional<Value> value = find(key);
    return value ? of(*value) : Object();
  }
  static Object of(const Value& value) {
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) throw std::range_error("a value is not an object");
    return Object(object);
  }

 private:
  std::optional<simdjson::dom::object> object_;
};

template <typename T>
T get_as(const Value& value, const char* problem) {
  T out{};
  if (value.get(out) != simdjson::SUCCESS) throw std::range_error(problem);
  return out;
}

inline void read_value(const Value& value, std::string& out) {
  out = get_as<std::string_view>(value, "a text must be a string");
}
inline void read_value(const Value& value, bool& out) {
  out = get_as<bool>(value, "a switch must be true or false");
}
template <typename T>
  requires std::is_unsigned_v<T>
void read_value(const Value& value, T& out) {
  const auto number =
      get_as<std::uint64_t>(value, "a number must be whole and must not be negative");
  if (number > std::numeric_limits<T>::max()) throw std::range_error("a number is too large");
  out = static_cast<T>(number);
}
inline void read_value(const Value& value, Timestamp& out) {
  const auto count = get_as<std::int64_t>(value, "a time must be whole microseconds");
  out = Timestamp{std::chrono::microseconds{count}};
}
inline void read_value(const Value& value, std::map<std::string, std::string>& out) {
  std::map<std::string, std::string> texts;
  for (const auto [key, text] : get_as<simdjson::dom::object>(value, "texts must be an object")) {
    read_value(text, texts[std::string(key)]);
  }
  out = std::move(texts);
}
template <typename T>
void read_value(const Value& value, std::vector<T>& out) {
  std::vector<T> items;
  for (const Value item : get_as<simdjson::dom::array>(value, "a list must be an array")) {
    read_value(item, items.emplace_back());
  }
  out = std::move(items);
}

template <typename T>
void read(const Object& object, std::string_view key, T& out) {
  if (const std::optional<Value> value = object.find(key)) read_value(*value, out);
}

// Hands each object of the list at `key` to `read_object`.
template <typename Reader>
void read_each(const Object& object, std::string_view key, Reader read_object) {
  const std::optional<Value> list = object.find(key);
  if (!list) return;
  for (const Value item : get_as<simdjson::dom::array>(*list, "a list must be an array")) {
    read_object(Object::of(item));
  }
}

// An enum by its number, at most `last`.
template <typename Enum>
void read_enum(const Object& object, std::string_view key, Enum last, Enum& out) {
  auto number = static_cast<std::underlying_type_t<Enum>>(out);
  read(object, key, number);
  if (number > static_cast<std::underlying_type_t<Enum>>(last)) {
    throw std::range_error("an enum has an unknown number");
  }
  out = static_cast<Enum>(number);
}

// Parses `text` and hands the object to `read_object`; whatever is wrong becomes DATA_LOSS, whose
// message never quotes the text, which may hold a secret.
template <typename Reader>
auto decode_json(std::string_view text, Reader read_object)
    -> Result<decltype(read_object(std::declval<const Object&>()))> {
  // Its buffers serve one text after the other.
  thread_local simdjson::dom::parser parser;
  std::string problem;
  try {
    Value value;
    simdjson::dom::object object;
    if (const auto error = parser.parse(text.data(), text.size()).get(value)) {
      problem = std::string("it is not JSON: ") + simdjson::error_message(error);
    } else if (value.get(object) != simdjson::SUCCESS) {
      problem = "it is not an object";
    } else {
      return read_object(Object(object));
    }
  } catch (const std::exception& failure) {
    problem = failure.what();
  }
  return Error{.code = Code::data_loss,
               .message = "a stored value cannot be read: " + problem,
               .reason = "STORED_VALUE_UNREADABLE"};
}

}  // namespace staithe::model::json_text
