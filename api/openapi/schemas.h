#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace staithe::api {

// The comment above a declaration, its lines joined into paragraphs. `Descriptor` is any descriptor
// of a pool that kept source locations.
template <typename Descriptor>
std::string comment_of(const Descriptor& declaration);

// Draws messages as OpenAPI schemas, under their short names (`Outer_Inner` when nested).
class Schemas {
 public:
  // A reference to the schema of `message`, which is added together with all it needs.
  nlohmann::ordered_json refer(const google::protobuf::Descriptor& message);
  // The schema of one field as a property or parameter, without description and marks.
  nlohmann::ordered_json of_field(const google::protobuf::FieldDescriptor& field);

  const std::map<std::string, nlohmann::ordered_json>& all() const { return schemas_; }

 private:
  nlohmann::ordered_json of_value(const google::protobuf::FieldDescriptor& field);
  nlohmann::ordered_json property(const google::protobuf::FieldDescriptor& field);

  std::map<std::string, nlohmann::ordered_json> schemas_;
};

}  // namespace staithe::api
