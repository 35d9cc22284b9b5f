#include "openapi/schemas.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "google/api/field_behavior.pb.h"
#include "staithe/api/rest.pb.h"

namespace staithe::api {
namespace {

namespace pb = google::protobuf;
using nlohmann::ordered_json;

// "A.B" of package p: "A_B".
std::string schema_name(const pb::Descriptor& message) {
  const pb::Descriptor* outer = message.containing_type();
  return outer == nullptr ? message.name() : schema_name(*outer) + "_" + message.name();
}

bool has_behavior(const pb::FieldDescriptor& field, google::api::FieldBehavior wanted) {
  const auto& options = field.options();
  for (int i = 0; i < options.ExtensionSize(google::api::field_behavior); ++i) {
    if (options.GetExtension(google::api::field_behavior, i) == wanted) return true;
  }
  return false;
}

// The names that REST documents use. The zero value stands for "not set" and is no member, unless
// it has a name or a spelling of its own.
ordered_json enum_members(const pb::EnumDescriptor& type) {
  ordered_json members = ordered_json::array();
  for (int i = 0; i < type.value_count(); ++i) {
    const pb::EnumValueDescriptor& value = *type.value(i);
    const std::string& rest_name = value.options().GetExtension(staithe::api::rest_name);
    if (!rest_name.empty()) {
      members.push_back(rest_name);
    } else if (value.number() != 0 || !value.name().ends_with("_UNSPECIFIED")) {
      members.push_back(value.name());
    }
  }
  return members;
}

ordered_json any_schema() {
  return {
      {"description", "A message of any type: its members beside `@type`, which names the type."},
      {"type", "object"},
      {"properties",
       {{"@type",
         {{"description",
           "The type of the message as a URL, for example "
           "`type.googleapis.com/google.rpc.BadRequest`."},
          {"type", "string"}}}}},
      {"additionalProperties", true}};
}

std::string strip(std::string_view comment) {
  std::string out;
  bool ends_paragraph = false;
  while (!comment.empty()) {
    std::string_view line = comment.substr(0, comment.find('\n'));
    comment.remove_prefix(std::min(comment.size(), line.size() + 1));
    while (line.starts_with(' ')) line.remove_prefix(1);
    while (line.ends_with(' ')) line.remove_suffix(1);
    if (line.empty()) {
      ends_paragraph = !out.empty();
      continue;
    }
    if (!out.empty()) out += ends_paragraph ? "\n\n" : " ";
    out += line;
    ends_paragraph = false;
  }
  return out;
}

}  // namespace

template <typename Descriptor>
std::string comment_of(const Descriptor& declaration) {
  pb::SourceLocation location;
  if (!declaration.GetSourceLocation(&location)) return {};
  return strip(location.leading_comments);
}
template std::string comment_of(const pb::Descriptor&);
template std::string comment_of(const pb::FieldDescriptor&);
template std::string comment_of(const pb::MethodDescriptor&);
template std::string comment_of(const pb::ServiceDescriptor&);

ordered_json Schemas::refer(const pb::Descriptor& message) {
  const bool is_any = message.full_name() == "google.protobuf.Any";
  const std::string name = is_any ? "GoogleProtobufAny" : schema_name(message);
  if (!schemas_.contains(name)) {
    ordered_json& schema = schemas_[name];  // in place first, so that a cycle ends here
    if (is_any) {
      schema = any_schema();
    } else {
      ordered_json required = ordered_json::array();
      ordered_json properties = ordered_json::object();
      for (int i = 0; i < message.field_count(); ++i) {
        const pb::FieldDescriptor& field = *message.field(i);
        properties[field.json_name()] = property(field);
        if (has_behavior(field, google::api::REQUIRED)) required.push_back(field.json_name());
      }
      ordered_json drawn = {{"description", comment_of(message)}, {"type", "object"}};
      if (!properties.empty()) drawn["properties"] = properties;
      if (!required.empty()) drawn["required"] = required;
      schemas_[name] = drawn;
    }
  }
  return {{"$ref", "#/components/schemas/" + name}};
}

ordered_json Schemas::property(const pb::FieldDescriptor& field) {
  ordered_json property = {{"description", comment_of(field)}};
  ordered_json schema = of_field(field);
  // Beside a $ref everything else is ignored in OpenAPI 3.0, hence the allOf.
  if (schema.contains("$ref")) schema = {{"allOf", ordered_json::array({schema})}};
  property.update(schema);
  if (has_behavior(field, google::api::OUTPUT_ONLY)) property["readOnly"] = true;
  return property;
}

ordered_json Schemas::of_field(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    return {{"type", "object"},
            {"additionalProperties", of_value(*field.message_type()->map_value())}};
  }
  if (field.is_repeated()) return {{"type", "array"}, {"items", of_value(field)}};
  return of_value(field);
}

ordered_json Schemas::of_value(const pb::FieldDescriptor& field) {
  switch (field.type()) {
    case pb::FieldDescriptor::TYPE_STRING:
      return {{"type", "string"}};
    case pb::FieldDescriptor::TYPE_BOOL:
      return {{"type", "boolean"}};
    case pb::FieldDescriptor::TYPE_UINT32:
      return {{"type", "integer"}, {"format", "uint32"}};
    case pb::FieldDescriptor::TYPE_INT32:
      return {{"type", "integer"}, {"format", "int32"}};
    case pb::FieldDescriptor::TYPE_UINT64:  // more than a JSON number holds everywhere
      return {{"type", "string"}, {"format", "uint64"}};
    case pb::FieldDescriptor::TYPE_DOUBLE:
      return {{"type", "number"}, {"format", "double"}};
    case pb::FieldDescriptor::TYPE_ENUM:
      return {{"type", "string"}, {"enum", enum_members(*field.enum_type())}};
    case pb::FieldDescriptor::TYPE_MESSAGE:
      if (field.message_type()->full_name() == "google.protobuf.Timestamp") {
        return {{"type", "string"}, {"format", "date-time"}};
      }
      return refer(*field.message_type());
    default:
      throw std::runtime_error("no OpenAPI form for the type of " + field.full_name());
  }
}

}  // namespace staithe::api
