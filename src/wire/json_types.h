#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>

#include "staithe/api/rest.pb.h"

// What reading and printing JSON know alike about types.
namespace staithe::wire {

inline bool is_timestamp(const google::protobuf::Descriptor& descriptor) {
  return descriptor.full_name() == "google.protobuf.Timestamp";
}
inline bool is_any(const google::protobuf::Descriptor& descriptor) {
  return descriptor.full_name() == "google.protobuf.Any";
}
// Inside an Any such a type is the member "value".
inline bool has_json_of_its_own(const google::protobuf::Descriptor& descriptor) {
  return is_timestamp(descriptor) || is_any(descriptor);
}

inline std::string_view rest_name(const google::protobuf::EnumValueDescriptor& value) {
  const std::string& name = value.options().GetExtension(::staithe::api::rest_name);
  return name.empty() ? std::string_view(value.name()) : std::string_view(name);
}

// An empty message of an Any's type; null if that is not compiled in.
inline std::unique_ptr<google::protobuf::Message> make_packed(std::string_view type_url) {
  const std::string name(type_url.substr(type_url.rfind('/') + 1));
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  if (descriptor == nullptr) return nullptr;
  return std::unique_ptr<google::protobuf::Message>(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
}

}  // namespace staithe::wire
