#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <cmath>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "base/encoding.h"
#include "base/time_text.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "wire/json_mapper.h"
#include "wire/json_types.h"

namespace staithe::wire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int any_depth_max = 16;

class Printer {
 public:
  explicit Printer(Spelling spelling) : spelling_(spelling) {}

  void print_message(const Message& message) {
    const Descriptor& descriptor = *message.GetDescriptor();
    if (is_timestamp(descriptor)) return print_timestamp(message);
    if (is_any(descriptor)) return print_any(message);
    out_ += '{';
    print_members(message);
    out_ += '}';
  }

  std::string take() { return std::move(out_); }

 private:
  void print_members(const Message& message) {
    const Descriptor& descriptor = *message.GetDescriptor();
    const Reflection& reflection = *message.GetReflection();
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
  }

  // The packed message's members behind its type; of a type that is not compiled in, the bytes.
  void print_any(const Message& message) {
    const auto& any = static_cast<const google::protobuf::Any&>(message);
    if (any.type_url().empty() && any.value().empty()) {
      out_ += "{}";
      return;
    }
    std::unique_ptr<Message> packed;
    if (depth_ < any_depth_max) packed = make_packed(any.type_url());
    if (packed != nullptr && !packed->ParseFromString(any.value())) packed = nullptr;
    out_ += "{\"@type\":" + json_quote(any.type_url());
    if (packed == nullptr) {
      out_ += ",\"value\":" + json_quote(base64(any.value()));
    } else if (has_json_of_its_own(*packed->GetDescriptor())) {
      out_ += ",\"value\":";
      print_packed(*packed);
    } else {
      const std::size_t before = out_.size();
      out_ += ',';
      ++depth_;
      print_members(*packed);
      --depth_;
      if (out_.size() == before + 1) out_.pop_back();
    }
    out_ += '}';
  }

  void print_packed(const Message& packed) {
    ++depth_;
    print_message(packed);
    --depth_;
  }

  bool is_printed(const Message& message, const Reflection& reflection,
                  const FieldDescriptor& field) const {
    if (field.is_repeated()) {
      return spelling_ == Spelling::rest || reflection.FieldSize(message, &field) > 0;
    }
    if (reflection.HasField(message, &field)) return true;
    return spelling_ == Spelling::rest && field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE &&
           field.containing_oneof() == nullptr;
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
      entries[key_text(entry, key)] = &entry;
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
    const auto get = [&](auto single, auto repeated) {
      return index < 0 ? (reflection.*single)(message, &field)
                       : (reflection.*repeated)(message, &field, index);
    };
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return print_message(index < 0 ? reflection.GetMessage(message, &field)
                                       : reflection.GetRepeatedMessage(message, &field, index));
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string text = get(&Reflection::GetString, &Reflection::GetRepeatedString);
        const bool is_bytes = field.type() == FieldDescriptor::TYPE_BYTES;
        out_ += json_quote(is_bytes ? base64(text) : text);
        return;
      }
      case FieldDescriptor::CPPTYPE_BOOL:
        out_ += get(&Reflection::GetBool, &Reflection::GetRepeatedBool) ? "true" : "false";
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        out_ += std::to_string(get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32));
        return;
      case FieldDescriptor::CPPTYPE_INT32:
        out_ += std::to_string(get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32));
        return;
      // What a double does not hold exactly is a string.
      case FieldDescriptor::CPPTYPE_UINT64:
        fmt::format_to(std::back_inserter(out_), "\"{}\"",
                       get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
        return;
      case FieldDescriptor::CPPTYPE_INT64:
        fmt::format_to(std::back_inserter(out_), "\"{}\"",
                       get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
        return;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return print_real(get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return print_real(get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat));
      case FieldDescriptor::CPPTYPE_ENUM:
        return print_enum(*field.enum_type(),
                          get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue));
    }
  }

  template <typename Real>
  void print_real(Real number) {
    if (std::isfinite(number)) {
      fmt::format_to(std::back_inserter(out_), "{}", number);  // the shortest that reads back
    } else if (std::isnan(number)) {
      out_ += "\"NaN\"";
    } else {
      out_ += number > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    }
  }

  // A map's key as JSON's text for it.
  static std::string key_text(const Message& entry, const FieldDescriptor& key) {
    if (key.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      return entry.GetReflection()->GetString(entry, &key);
    }
    Printer printer(Spelling::descriptor);
    printer.print_value(entry, *entry.GetReflection(), key, -1);
    std::string text = printer.take();
    if (text.starts_with('"')) text = text.substr(1, text.size() - 2);
    return text;
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
  int depth_ = 0;  // of Any within Any
};

}  // namespace

std::string print_json(const Message& message, Spelling spelling) {
  Printer printer(spelling);
  printer.print_message(message);
  return printer.take();
}

}  // namespace staithe::wire
