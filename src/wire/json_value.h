#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace staithe::wire {

// A JSON text as it was written: members in their order, numbers as their text, so that nothing is
// lost before the mapper knows which type is wanted.
struct JsonMember;
struct JsonValue {
  enum class Kind : std::uint8_t { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  bool boolean = false;
  std::string text;  // of strings (unescaped) and numbers (as written)
  std::vector<JsonValue> items;
  std::vector<JsonMember> members;
};
struct JsonMember {
  std::string name;
  JsonValue value;
};

inline constexpr std::size_t json_depth_max = 100;

// Reads one JSON text (RFC 8259). INVALID_ARGUMENT for bad UTF-8, trailing data, names given twice
// in one object, and nesting deeper than json_depth_max.
Result<JsonValue> parse_json_value(std::string_view text);

}  // namespace staithe::wire
