#include "wire/json_mapper.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "base/encoding.h"
#include "base/time_text.h"
#include "google/protobuf/timestamp.pb.h"
#include "staithe/api/rest.pb.h"

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

bool is_timestamp(const Descriptor& descriptor) {
  return descriptor.full_name() == "google.protobuf.Timestamp";
}

std::string_view rest_name(const EnumValueDescriptor& value) {
  const std::string& name = value.options().GetExtension(::staithe::api::rest_name);
  return name.empty() ? std::string_view(value.name()) : std::string_view(name);
}

// A JSON number, or a decimal string, that is a whole number within [low, high].
std::optional<std::int64_t> whole_number(const JsonValue& value, std::int64_t low,
                                         std::int64_t high) {
  if ((value.kind != Kind::number && value.kind != Kind::string) || value.text.empty()) {
    return std::nullopt;
  }
  const char* const end = value.text.data() + value.text.size();
  std::int64_t number = 0;
  auto [stop, problem] = std::from_chars(value.text.data(), end, number);
  if (problem != std::errc{} || stop != end) {
    double real = 0;
    const auto outcome = std::from_chars(value.text.data(), end, real);
    if (outcome.ec != std::errc{} || outcome.ptr != end || std::trunc(real) != real ||
        std::abs(real) > 9.0e15) {
      return std::nullopt;
    }
    number = static_cast<std::int64_t>(real);
  }
  if (number < low || number > high) return std::nullopt;
  return number;
}

class Reader {
 public:
  explicit Reader(Spelling spelling) : spelling_(spelling) {}

  Result<void> read_message(const JsonValue& value, const std::string& path, Message& message) {
    const Descriptor& descriptor = *message.GetDescriptor();
    if (is_timestamp(descriptor)) return read_timestamp(value, path, message);
    if (value.kind != Kind::object) return wrong(path, "must be a JSON object");
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
    const bool is_adding = field.is_repeated();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return read_message(value, path,
                            is_adding ? *reflection.AddMessage(&message, &field)
                                      : *reflection.MutableMessage(&message, &field));
      case FieldDescriptor::CPPTYPE_STRING:
        if (value.kind != Kind::string) return wrong(path, "must be a string");
        is_adding ? reflection.AddString(&message, &field, value.text)
                  : reflection.SetString(&message, &field, value.text);
        return {};
      case FieldDescriptor::CPPTYPE_BOOL:
        if (value.kind != Kind::boolean) return wrong(path, "must be true or false");
        is_adding ? reflection.AddBool(&message, &field, value.boolean)
                  : reflection.SetBool(&message, &field, value.boolean);
        return {};
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto number = whole_number(value, 0, UINT32_MAX);
        if (!number) return wrong(path, "must be a whole number from 0 to 4294967295");
        is_adding ? reflection.AddUInt32(&message, &field, static_cast<std::uint32_t>(*number))
                  : reflection.SetUInt32(&message, &field, static_cast<std::uint32_t>(*number));
        return {};
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        const auto number = whole_number(value, INT32_MIN, INT32_MAX);
        if (!number) return wrong(path, "must be a whole number of 32 bits");
        is_adding ? reflection.AddInt32(&message, &field, static_cast<std::int32_t>(*number))
                  : reflection.SetInt32(&message, &field, static_cast<std::int32_t>(*number));
        return {};
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        TRY_ASSIGN(const int number, read_enum(value, *field.enum_type(), path));
        is_adding ? reflection.AddEnumValue(&message, &field, number)
                  : reflection.SetEnumValue(&message, &field, number);
        return {};
      }
      default:
        break;
    }
    CHECK_THAT(false, field.full_name());
    return {};
  }

 private:
  Result<void> read_map(const JsonValue& value, const FieldDescriptor& field,
                        const std::string& path, Message& message) {
    if (value.kind != Kind::object) return wrong(path, "must be a JSON object");
    const FieldDescriptor& key = *field.message_type()->map_key();
    const FieldDescriptor& content = *field.message_type()->map_value();
    for (const auto& [name, member] : value.members) {
      const std::string entry_path = fmt::format("{}[\"{}\"]", path, name);
      if (member.kind == Kind::null) return wrong(entry_path, "must not be null");
      Message& entry = *message.GetReflection()->AddMessage(&message, &field);
      entry.GetReflection()->SetString(&entry, &key, name);
      TRY(read_single(member, content, entry_path, entry));
    }
    return {};
  }

  Result<int> read_enum(const JsonValue& value, const google::protobuf::EnumDescriptor& type,
                        const std::string& path) {
    if (value.kind == Kind::number) {
      // Numbers nobody has named are kept: whether they are allowed is the service's business.
      if (const auto number = whole_number(value, INT32_MIN, INT32_MAX))
        return static_cast<int>(*number);
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

class Printer {
 public:
  explicit Printer(Spelling spelling) : spelling_(spelling) {}

  void print_message(const Message& message) {
    const Descriptor& descriptor = *message.GetDescriptor();
    if (is_timestamp(descriptor)) return print_timestamp(message);
    const Reflection& reflection = *message.GetReflection();
    out_ += '{';
    bool is_first = true;
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor& field = *descriptor.field(i);
      if (!is_printed(message, reflection, field)) continue;
      if (!is_first) out_ += ',';
      is_first = false;
      out_ += json_quote(field.json_name());
      out_ += ':';
      print_field(message, reflection, field);
    }
    out_ += '}';
  }

  std::string take() { return std::move(out_); }

 private:
  bool is_printed(const Message& message, const Reflection& reflection,
                  const FieldDescriptor& field) const {
    if (field.is_repeated()) {
      return spelling_ == Spelling::rest || reflection.FieldSize(message, &field) > 0;
    }
    if (reflection.HasField(message, &field)) return true;
    return spelling_ == Spelling::rest && field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE &&
           field.real_containing_oneof() == nullptr;
  }

  void print_field(const Message& message, const Reflection& reflection,
                   const FieldDescriptor& field) {
    if (field.is_map()) return print_map(message, reflection, field);
    if (!field.is_repeated()) return print_value(message, reflection, field, -1);
    out_ += '[';
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      if (i > 0) out_ += ',';
      print_value(message, reflection, field, i);
    }
    out_ += ']';
  }

  void print_map(const Message& message, const Reflection& reflection,
                 const FieldDescriptor& field) {
    const FieldDescriptor& key = *field.message_type()->map_key();
    const FieldDescriptor& content = *field.message_type()->map_value();
    std::map<std::string, const Message*> entries;
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
      entries[entry.GetReflection()->GetString(entry, &key)] = &entry;
    }
    out_ += '{';
    bool is_first = true;
    for (const auto& [name, entry] : entries) {
      if (!is_first) out_ += ',';
      is_first = false;
      out_ += json_quote(name);
      out_ += ':';
      print_value(*entry, *entry->GetReflection(), content, -1);
    }
    out_ += '}';
  }

  // The value of a singular field, or element `index` of a repeated one.
  void print_value(const Message& message, const Reflection& reflection,
                   const FieldDescriptor& field, int index) {
    const bool is_element = index >= 0;
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return print_message(is_element ? reflection.GetRepeatedMessage(message, &field, index)
                                        : reflection.GetMessage(message, &field));
      case FieldDescriptor::CPPTYPE_STRING:
        out_ += json_quote(is_element ? reflection.GetRepeatedString(message, &field, index)
                                      : reflection.GetString(message, &field));
        return;
      case FieldDescriptor::CPPTYPE_BOOL:
        out_ += (is_element ? reflection.GetRepeatedBool(message, &field, index)
                            : reflection.GetBool(message, &field))
                    ? "true"
                    : "false";
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        out_ += std::to_string(is_element ? reflection.GetRepeatedUInt32(message, &field, index)
                                          : reflection.GetUInt32(message, &field));
        return;
      case FieldDescriptor::CPPTYPE_INT32:
        out_ += std::to_string(is_element ? reflection.GetRepeatedInt32(message, &field, index)
                                          : reflection.GetInt32(message, &field));
        return;
      case FieldDescriptor::CPPTYPE_ENUM:
        return print_enum(*field.enum_type(),
                          is_element ? reflection.GetRepeatedEnumValue(message, &field, index)
                                     : reflection.GetEnumValue(message, &field));
      default:
        CHECK_THAT(false, field.full_name());
    }
  }

  void print_enum(const google::protobuf::EnumDescriptor& type, int number) {
    const EnumValueDescriptor* value = type.FindValueByNumber(number);
    if (value == nullptr) {
      out_ += std::to_string(number);
    } else {
      out_ += json_quote(spelling_ == Spelling::rest ? rest_name(*value)
                                                     : std::string_view(value->name()));
    }
  }

  void print_timestamp(const Message& message) {
    const auto& timestamp = static_cast<const google::protobuf::Timestamp&>(message);
    const Timestamp time{std::chrono::seconds{timestamp.seconds()} +
                         std::chrono::microseconds{timestamp.nanos() / 1'000}};
    out_ += json_quote(format_timestamp(time));
  }

  Spelling spelling_;
  std::string out_;
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

std::string print_json(const Message& message, Spelling spelling) {
  Printer printer(spelling);
  printer.print_message(message);
  return printer.take();
}

}  // namespace staithe::wire
