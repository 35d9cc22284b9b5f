// Draws the OpenAPI documents of the REST dialect: one of the hosted API's package, one of what
// Staithe adds.
//
//   openapi_generate DESCRIPTORS OUTPUT_DIRECTORY
//
// DESCRIPTORS is a FileDescriptorSet with imports and source info. Writes openapi.yaml and
// openapi.json, staithe.yaml and staithe.json, and openapi_document.cc, which embeds the four.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "google/api/annotations.pb.h"
#include "openapi/schemas.h"
#include "openapi/yaml.h"

namespace staithe::api {
namespace {

namespace pb = google::protobuf;
using nlohmann::ordered_json;

// One document: a package, and how the document introduces it.
struct Subject {
  std::string_view package;
  std::string_view title;
  std::string_view version;
  std::string_view description;
  std::string_view file_stem;
  std::string_view function_stem;  // of the functions that embed it
};
constexpr Subject hosted = {
    "coreweave.inference.v1alpha1",
    "CoreWeave Inference API",
    "0.0.1",
    "Manage inference on GPU clusters: reserve capacity, run models, and set up the gateways "
    "through which applications reach them. This document describes the API as served by Staithe, "
    "an independent implementation.",
    "openapi",
    "openapi"};
constexpr Subject additional = {
    "staithe.v1",
    "Staithe API",
    "1.0.0",
    "What Staithe offers beside the inference API: administer the machines of an installation, ask "
    "why the control plane decided as it did, and what a change would do.",
    "staithe",
    "staithe_openapi"};

struct Route {
  std::string verb;  // lower case, as OpenAPI wants it
  std::string path;
  bool has_body = false;
};

Route route_of(const pb::MethodDescriptor& method) {
  const google::api::HttpRule& rule = method.options().GetExtension(google::api::http);
  const bool has_body = !rule.body().empty();
  switch (rule.pattern_case()) {
    case google::api::HttpRule::kGet:
      return {"get", rule.get(), has_body};
    case google::api::HttpRule::kPost:
      return {"post", rule.post(), has_body};
    case google::api::HttpRule::kPatch:
      return {"patch", rule.patch(), has_body};
    case google::api::HttpRule::kDelete:
      return {"delete", rule.delete_(), has_body};
    default:
      throw std::runtime_error("no REST route for " + method.full_name());
  }
}

// "GetCapacityClaim": "Get capacity claim".
std::string summary_of(std::string_view method_name) {
  std::string out;
  for (const char c : method_name) {
    const bool is_upper = std::isupper(static_cast<unsigned char>(c)) != 0;
    if (is_upper && !out.empty()) out += ' ';
    out += is_upper && !out.empty() ? static_cast<char>(std::tolower(c)) : c;
  }
  return out;
}

// What the path binds is a path parameter; without a body the rest is in the query.
ordered_json parameters_of(const pb::Descriptor& request, const Route& route, Schemas& schemas) {
  ordered_json parameters = ordered_json::array();
  for (int i = 0; i < request.field_count(); ++i) {
    const pb::FieldDescriptor& field = *request.field(i);
    const bool is_in_path = route.path.find("{" + field.name() + "}") != std::string::npos;
    if (!is_in_path && route.has_body) continue;
    ordered_json parameter = {{"name", field.json_name()}, {"in", is_in_path ? "path" : "query"}};
    parameter["description"] = comment_of(field);
    if (is_in_path) parameter["required"] = true;
    parameter["schema"] = schemas.of_field(field);
    parameters.push_back(parameter);
  }
  return parameters;
}

ordered_json json_content(const ordered_json& schema) {
  return {{"application/json", {{"schema", schema}}}};
}

ordered_json operation(const pb::MethodDescriptor& method, const Route& route,
                       const pb::Descriptor& status, Schemas& schemas) {
  const std::string& service = method.service()->name();
  ordered_json out = {{"tags", ordered_json::array({service})},
                      {"summary", summary_of(method.name())},
                      {"description", comment_of(method)},
                      {"operationId", service + "_" + method.name()}};
  const ordered_json parameters = parameters_of(*method.input_type(), route, schemas);
  if (!parameters.empty()) out["parameters"] = parameters;
  if (route.has_body) {
    out["requestBody"] = {{"content", json_content(schemas.refer(*method.input_type()))},
                          {"required", true}};
  }
  out["responses"] = {
      {"200",
       {{"description", "OK"}, {"content", json_content(schemas.refer(*method.output_type()))}}},
      {"default",
       {{"description", "The call failed; the body says why."},
        {"content", json_content(schemas.refer(status))}}}};
  return out;
}

ordered_json preamble(const Subject& subject) {
  return {
      {"openapi", "3.0.3"},
      {"info",
       {{"title", subject.title},
        {"version", subject.version},
        {"description", subject.description}}},
      {"servers", ordered_json::array(
                      {{{"url", "/"}, {"description", "The server that sent this document."}}})},
      {"security", ordered_json::array({{{"bearerAuth", ordered_json::array()}}})}};
}

ordered_json security_schemes() {
  return {{"bearerAuth",
           {{"type", "http"},
            {"scheme", "bearer"},
            {"bearerFormat", "JWT"},
            {"description", "An API access token, sent as a bearer token."},
            {"x-default", "Bearer {API_ACCESS_TOKEN}"}}}};
}

ordered_json document(const pb::FileDescriptorSet& files, const Subject& subject) {
  pb::DescriptorPool pool;
  std::vector<const pb::ServiceDescriptor*> services;
  for (const auto& file : files.file()) {
    const pb::FileDescriptor* built = pool.BuildFile(file);
    if (built == nullptr) throw std::runtime_error("bad descriptors in " + file.name());
    if (built->package() != subject.package) continue;
    for (int i = 0; i < built->service_count(); ++i) services.push_back(built->service(i));
  }
  std::sort(services.begin(), services.end(),
            [](const auto* left, const auto* right) { return left->name() < right->name(); });
  const pb::Descriptor* status = pool.FindMessageTypeByName("google.rpc.Status");
  if (status == nullptr) throw std::runtime_error("google.rpc.Status is missing");

  Schemas schemas;
  ordered_json tags = ordered_json::array();
  ordered_json paths = ordered_json::object();
  for (const pb::ServiceDescriptor* service : services) {
    tags.push_back({{"name", service->name()}, {"description", comment_of(*service)}});
    for (int i = 0; i < service->method_count(); ++i) {
      const pb::MethodDescriptor& method = *service->method(i);
      const Route route = route_of(method);
      paths[route.path][route.verb] = operation(method, route, *status, schemas);
    }
  }

  ordered_json out = preamble(subject);
  out["tags"] = tags;
  out["paths"] = paths;
  out["components"]["schemas"] = schemas.all();
  out["components"]["securitySchemes"] = security_schemes();
  return out;
}

// `text` as adjacent raw string literals, each short enough for any compiler.
std::string as_literals(std::string_view text) {
  constexpr std::size_t chunk_bytes = 8000;
  std::string out;
  while (!text.empty()) {
    const std::string_view chunk = text.substr(0, chunk_bytes);
    out += "\n    R\"openapi(" + std::string(chunk) + ")openapi\"";
    text.remove_prefix(chunk.size());
  }
  return out;
}

std::string as_function(const std::string& name, std::string_view text) {
  return "\nstd::string_view " + name +
         "() {\n  static constexpr std::string_view text =" + as_literals(text) +
         ";\n  return text;\n}\n";
}

void write_file(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void generate(const std::string& descriptors_path, const std::string& directory) {
  pb::FileDescriptorSet files;
  std::ifstream input(descriptors_path, std::ios::binary);
  if (!files.ParseFromIstream(&input)) {
    throw std::runtime_error("cannot read descriptors from " + descriptors_path);
  }
  std::string embedded = "#include \"openapi/document.h\"\n\nnamespace staithe::api {\n";
  for (const Subject& subject : {hosted, additional}) {
    const ordered_json drawn = document(files, subject);
    const std::string stem = directory + "/" + std::string(subject.file_stem);
    const std::string json = drawn.dump(2) + "\n";
    const std::string yaml = to_yaml(drawn);
    write_file(stem + ".json", json);
    write_file(stem + ".yaml", yaml);
    embedded += as_function(std::string(subject.function_stem) + "_json", json);
    embedded += as_function(std::string(subject.function_stem) + "_yaml", yaml);
  }
  write_file(directory + "/openapi_document.cc", embedded + "\n}  // namespace staithe::api\n");
}

}  // namespace
}  // namespace staithe::api

int main(int argument_count, char** arguments) {
  if (argument_count != 3) {
    std::cerr << "usage: openapi_generate DESCRIPTORS OUTPUT_DIRECTORY\n";
    return 2;
  }
  try {
    staithe::api::generate(arguments[1], arguments[2]);
  } catch (const std::exception& failure) {
    std::cerr << "openapi_generate: " << failure.what() << "\n";
    return 1;
  }
  return 0;
}
