#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/json_value.h"
#include "wire/method.h"

namespace staithe::wire {

// Reads a JSON object into `message` by its descriptor: the proto3 JSON mapping
// (https://protobuf.dev/programming-guides/proto3/#json) with our choices where it leaves any.
//
// Names in lowerCamel or as in the .proto; enums by name or number, on REST also by their REST
// spelling; 32-bit integers as numbers, also 1.0 and 1e2, or decimal strings; null is absent;
// unknown names are ignored. A field given twice (under both spellings) and two members of one
// oneof are refused. Errors are INVALID_ARGUMENT and name the field by its JSON path.
Result<void> parse_json(std::string_view text, Spelling spelling,
                        google::protobuf::Message& message);

// One value into one field, for path and query parameters. Repeated fields are appended to.
Result<void> parse_json_field(const JsonValue& value,
                              const google::protobuf::FieldDescriptor& field, Spelling spelling,
                              google::protobuf::Message& message);

// The field of this name, in lowerCamel or as in the .proto; null if there is none.
const google::protobuf::FieldDescriptor* find_json_field(
    const google::protobuf::Descriptor& descriptor, std::string_view name);

// REST prints unset scalars, lists and maps as zero values and leaves out unset messages, oneof
// members and optional fields; enums have their REST spelling. The descriptor's spelling leaves out
// everything unset. Map keys are sorted.
std::string print_json(const google::protobuf::Message& message, Spelling spelling);

}  // namespace staithe::wire
