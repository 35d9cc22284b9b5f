#include "wire/json_mapper.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <utility>

#include "base/encoding.h"
#include "base/time_text.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "wire/json_types.h"

namespace staithe::wire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Kind = JsonValue::Kind;

Error wrong(const std::string& path, std::string_view what) {
  const std::string text =
      path.empty() ? fmt::format("the body {}", what) : fmt::format("{} {}", path, what);
  Error error{.code = Code::invalid_argument, .message = text, .reason = "INVALID_FIELD"};
  if (!path.empty()) error.violations.push_back({path, text});
  return error;
}

std::string member_path(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

// The value as JSON writes numbers: a number, or one in a string.
bool is_numeric(const JsonValue& value) {
  return (value.kind == Kind::number || value.kind == Kind::string) && !value.text.empty();
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, number);
  if (problem != std::errc{} || stop != end) return std::nullopt;
  return number;
}

// A whole number that Number holds, also written as 1.0 or 1e2.
template <typename Number>
std::optional<Number> whole_number(const JsonValue& value) {
  if (!is_numeric(value)) return std::nullopt;
  if (const auto number = parse_number<Number>(value.text)) return number;
  constexpr double exact_max = 9.0e15;
  const auto real = parse_number<double>(value.text);
  if (!real || std::trunc(*real) != *real || std::abs(*real) > exact_max) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(*real);
  if (!std::in_range<Number>(whole)) return std::nullopt;
  return static_cast<Number>(whole);
}

std::optional<double> real_number(const JsonValue& value) {
  if (value.kind == Kind::string) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (value.text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (value.text == "Infinity") return infinity;
    if (value.text == "-Infinity") return -infinity;
  }
  if (!is_numeric(value)) return std::nullopt;
  const auto real = parse_number<double>(value.text);
  return real && std::isfinite(*real) ? real : std::nullopt;
}

// Whether it is one once it is rounded.
bool is_float(double number) {
  constexpr double beyond = 0x1.ffffffp127;  // half a step above the largest
  return !std::isfinite(number) || std::abs(number) < beyond;
}

class Reader {
 public:
  explicit Reader(Spelling spelling) : spelling_(spelling) {}

  Result<void> read_message(const JsonValue& value, const std::string& path, Message& message) {
    const Descriptor& descriptor = *message.GetDescriptor();
    if (is_timestamp(descriptor)) return read_timestamp(value, path, message);
    if (value.kind != Kind::object) return wrong(path, "must be a JSON object");
    if (is_any(descriptor)) return read_any(value, path, message);
    std::set<const FieldDescriptor*> seen;
    for (const auto& [name, member] : value.members) {
      const FieldDescriptor* field = find_json_field(descriptor, name);
      if (field == nullptr) continue;
      const std::string field_path = member_path(path, field->json_name());
      if (!seen.insert(field).second) return wrong(field_path, "is given twice");
      if (member.kind == Kind::null) continue;
      if (const auto* choice = field->real_containing_oneof()) {
        const FieldDescriptor* other =
            message.GetReflection()->GetOneofFieldDescriptor(message, choice);
        if (other != nullptr) {
          return wrong(field_path, fmt::format("cannot be given together with {}",
                                               member_path(path, other->json_name())));
        }
      }
      TRY(read_field(member, *field, field_path, message));
    }
    return {};
  }

  Result<void> read_field(const JsonValue& value, const FieldDescriptor& field,
                          const std::string& path, Message& message) {
    if (field.is_map()) return read_map(value, field, path, message);
    if (!field.is_repeated()) return read_single(value, field, path, message);
    if (value.kind != Kind::array) return wrong(path, "must be a list");
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      TRY(read_single(value.items[i], field, fmt::format("{}[{}]", path, i), message));
    }
    return {};
  }

  // Sets a singular field, or adds one element to a repeated one.
  Result<void> read_single(const JsonValue& value, const FieldDescriptor& field,
                           const std::string& path, Message& message) {
    const Reflection& reflection = *message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return read_message(value, path,
                            field.is_repeated() ? *reflection.AddMessage(&message, &field)
                                                : *reflection.MutableMessage(&message, &field));
      case FieldDescriptor::CPPTYPE_STRING:
        return read_text(value, field, path, message);
      case FieldDescriptor::CPPTYPE_BOOL:
        if (value.kind != Kind::boolean) return wrong(path, "must be true or false");
        return put(value.boolean, field, message, &Reflection::AddBool, &Reflection::SetBool);
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto number = whole_number<std::uint32_t>(value);
        if (!number) return wrong(path, "must be a whole number from 0 to 4294967295");
        return put(*number, field, message, &Reflection::AddUInt32, &Reflection::SetUInt32);
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto number = whole_number<std::int32_t>(value);
        if (!number) return wrong(path, "must be a whole number of 32 bits");
        return put(*number, field, message, &Reflection::AddInt32, &Reflection::SetInt32);
      }
      case FieldDescriptor::CPPTYPE_UINT64: {
        const auto number = whole_number<std::uint64_t>(value);
        if (!number) return wrong(path, "must be a whole number of 64 bits, 0 or more");
        return put(*number, field, message, &Reflection::AddUInt64, &Reflection::SetUInt64);
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        const auto number = whole_number<std::int64_t>(value);
        if (!number) return wrong(path, "must be a whole number of 64 bits");
        return put(*number, field, message, &Reflection::AddInt64, &Reflection::SetInt64);
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        const auto number = real_number(value);
        if (!number) return wrong(path, "must be a number");
        return put(*number, field, message, &Reflection::AddDouble, &Reflection::SetDouble);
      }
      case FieldDescriptor::CPPTYPE_FLOAT: {
        const auto number = real_number(value);
        if (!number || !is_float(*number)) return wrong(path, "must be a number of 32 bits");
        return put(static_cast<float>(*number), field, message, &Reflection::AddFloat,
                   &Reflection::SetFloat);
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        TRY_ASSIGN(const int number, read_enum(value, *field.enum_type(), path));
        return put(number, field, message, &Reflection::AddEnumValue, &Reflection::SetEnumValue);
      }
    }
    CHECK_THAT(false, field.full_name());
    return {};
  }

 private:
  template <typename Value, typename Add, typename Set>
  static Result<void> put(Value value, const FieldDescriptor& field, Message& message, Add add,
                          Set set) {
    const Reflection& reflection = *message.GetReflection();
    field.is_repeated() ? (reflection.*add)(&message, &field, std::move(value))
                        : (reflection.*set)(&message, &field, std::move(value));
    return {};
  }

  Result<void> read_text(const JsonValue& value, const FieldDescriptor& field,
                         const std::string& path, Message& message) {
    if (value.kind != Kind::string) return wrong(path, "must be a string");
    std::string text = value.text;
    if (field.type() == FieldDescriptor::TYPE_BYTES) {
      auto bytes = base64_decode(text);
      if (!bytes) return wrong(path, "must be base64");
      text = *std::move(bytes);
    }
    return put(std::move(text), field, message, &Reflection::AddString, &Reflection::SetString);
  }

  // The members of the packed message beside its "@type".
  Result<void> read_any(const JsonValue& value, const std::string& path, Message& message) {
    auto& any = static_cast<google::protobuf::Any&>(message);
    if (value.members.empty()) return {};
    for (const auto& [name, member] : value.members) {
      if (name == "@type" && member.kind == Kind::string) any.set_type_url(member.text);
    }
    const std::unique_ptr<Message> packed = make_packed(any.type_url());
    if (packed == nullptr) return wrong(member_path(path, "@type"), "must name a known type");
    const JsonValue* content = &value;
    if (has_json_of_its_own(*packed->GetDescriptor())) {
      content = nullptr;
      for (const auto& [name, member] : value.members) {
        if (name == "value") content = &member;
      }
      if (content == nullptr) return wrong(member_path(path, "value"), "is required");
    }
    TRY(read_message(*content, path, *packed));
    packed->SerializeToString(any.mutable_value());
    return {};
  }

  // A map's key as the text that JSON has for it.
  Result<void> read_key(const std::string& name, const FieldDescriptor& key,
                        const std::string& path, Message& entry) {
    JsonValue value{.kind = Kind::string, .text = name};
    if (key.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
      if (name != "true" && name != "false") return wrong(path, "must have true or false as key");
      value = JsonValue{.kind = Kind::boolean, .boolean = name == "true"};
    }
    return read_single(value, key, path, entry);
  }

  Result<void> read_map(const JsonValue& value, const FieldDescriptor& field,
                        const std::string& path, Message& message) {
    if (value.kind != Kind::object) return wrong(path, "must be a JSON object");
    const FieldDescriptor& key = *field.message_type()->map_key();
    const FieldDescriptor& content = *field.message_type()->map_value();
    for (const auto& [name, member] : value.members) {
      const std::string entry_path = fmt::format("{}[\"{}\"]", path, name);
      if (member.kind == Kind::null) return wrong(entry_path, "must not be null");
      Message& entry = *message.GetReflection()->AddMessage(&message, &field);
      TRY(read_key(name, key, entry_path, entry));
      TRY(read_single(member, content, entry_path, entry));
    }
    return {};
  }

  Result<int> read_enum(const JsonValue& value, const google::protobuf::EnumDescriptor& type,
                        const std::string& path) {
    if (value.kind == Kind::number) {
      // Numbers nobody has named are kept: whether they are allowed is the service's business.
      if (const auto number = whole_number<std::int32_t>(value)) return static_cast<int>(*number);
    }
    if (value.kind == Kind::string) {
      if (const EnumValueDescriptor* found = type.FindValueByName(value.text))
        return found->number();
      for (int i = 0; spelling_ == Spelling::rest && i < type.value_count(); ++i) {
        if (rest_name(*type.value(i)) == value.text) return type.value(i)->number();
      }
    }
    std::string names;
    for (int i = 0; i < type.value_count(); ++i) {
      if (type.value(i)->number() == 0) continue;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", type.value(i)->name());
    }
    return wrong(path, "must be one of: " + names);
  }

  Result<void> read_timestamp(const JsonValue& value, const std::string& path, Message& message) {
    if (value.kind != Kind::string) return wrong(path, "must be an RFC 3339 date-time as a string");
    const auto time = parse_timestamp(value.text);
    if (!time) return wrong(path, time.error().message);
    const auto micros = time->time_since_epoch().count();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time->time_since_epoch()).count();
    auto& timestamp = static_cast<google::protobuf::Timestamp&>(message);
    timestamp.set_seconds(seconds);
    timestamp.set_nanos(static_cast<std::int32_t>((micros - seconds * 1'000'000) * 1'000));
    return {};
  }

  Spelling spelling_;
};

}  // namespace

const FieldDescriptor* find_json_field(const Descriptor& descriptor, std::string_view name) {
  const std::string key(name);
  if (const FieldDescriptor* field = descriptor.FindFieldByName(key)) return field;
  for (int i = 0; i < descriptor.field_count(); ++i) {
    if (descriptor.field(i)->json_name() == name) return descriptor.field(i);
  }
  return nullptr;
}

Result<void> parse_json(std::string_view text, Spelling spelling, Message& message) {
  TRY_ASSIGN(const JsonValue value, parse_json_value(text));
  return Reader(spelling).read_message(value, {}, message);
}

Result<void> parse_json_field(const JsonValue& value, const FieldDescriptor& field,
                              Spelling spelling, Message& message) {
  return Reader(spelling).read_single(value, field, field.json_name(), message);
}

}  // namespace staithe::wire
