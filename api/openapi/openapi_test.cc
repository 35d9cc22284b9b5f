// Holds the generated OpenAPI document against what clients of the published one rely on: names,
// required lists, read-only marks, formats and enum members. The prose is free.

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "openapi/document.h"
#include "openapi/yaml.h"

namespace staithe::api {
namespace {

using nlohmann::ordered_json;

const ordered_json& document() {
  static const ordered_json parsed = ordered_json::parse(openapi_json());
  return parsed;
}

const ordered_json& schema(const std::string& name) {
  return document().at("components").at("schemas").at(name);
}

ordered_json without_prose(ordered_json value) {
  if (value.is_object() && value.contains("description") && value["description"].is_string()) {
    value.erase("description");
  }
  if (value.is_structured()) {
    for (auto& member : value) member = without_prose(member);
  }
  return value;
}

std::string reference(const std::string& name) {
  return "#/components/schemas/" + name;
}

// Compares a whole schema. Properties may stand in any order; lists of words are sets.
void expect_schema(const std::string& name, ordered_json expected) {
  ordered_json actual = without_prose(schema(name));
  const auto take_set = [](ordered_json& from) {
    std::set<std::string> words;
    if (from.contains("required")) {
      for (const auto& word : from["required"]) words.insert(word.get<std::string>());
      from.erase("required");
    }
    return words;
  };
  EXPECT_EQ(take_set(actual), take_set(expected)) << name;
  // Unlike ordered_json, json compares objects without regard to order.
  EXPECT_EQ(nlohmann::json(actual), nlohmann::json(expected)) << name;
  EXPECT_FALSE(schema(name).at("description").get<std::string>().empty()) << name;
}

ordered_json object_with(ordered_json properties) {
  return {{"type", "object"}, {"properties", std::move(properties)}};
}

ordered_json output(ordered_json property) {
  property["readOnly"] = true;
  return property;
}

ordered_json output_message(const std::string& name) {
  return output({{"allOf", {{{"$ref", reference(name)}}}}});
}

const ordered_json text = {{"type", "string"}};
const ordered_json time_text = {{"type", "string"}, {"format", "date-time"}};
const ordered_json count = {{"type", "integer"}, {"format", "uint32"}};

TEST(OpenApi, names_the_api_its_version_and_its_credential) {
  EXPECT_EQ(document().at("openapi"), "3.0.3");
  EXPECT_EQ(document().at("info").at("title"), "CoreWeave Inference API");
  EXPECT_EQ(document().at("info").at("version"), "0.0.1");
  EXPECT_EQ(document().at("security"), ordered_json::parse(R"([{"bearerAuth": []}])"));
  const ordered_json expected = ordered_json::parse(R"({
    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
    "x-default": "Bearer {API_ACCESS_TOKEN}"})");
  EXPECT_EQ(without_prose(document().at("components").at("securitySchemes").at("bearerAuth")),
            expected);
}

TEST(OpenApi, describes_each_service_as_a_tag) {
  std::set<std::string> names;
  for (const auto& tag : document().at("tags")) {
    names.insert(tag.at("name").get<std::string>());
    EXPECT_FALSE(tag.at("description").get<std::string>().empty());
  }
  EXPECT_EQ(names,
            (std::set<std::string>{"CapacityClaimService", "DeploymentService", "GatewayService"}));
}

TEST(OpenApi, has_all_eighteen_operations) {
  std::set<std::string> operations;
  for (const auto& [path, verbs] : document().at("paths").items()) {
    for (const auto& [verb, operation] : verbs.items()) {
      const auto id = operation.at("operationId").get<std::string>();
      operations.insert(verb + " " + path + " " + id);
      EXPECT_EQ(operation.at("tags").at(0).get<std::string>(), id.substr(0, id.find('_')));
      EXPECT_FALSE(operation.at("summary").get<std::string>().empty()) << id;
      EXPECT_FALSE(operation.at("description").get<std::string>().empty()) << id;
      EXPECT_EQ(operation.at("responses").at("default").at("content").at("application/json"),
                (ordered_json{{"schema", {{"$ref", reference("Status")}}}}))
          << id;
      EXPECT_EQ(operation.contains("requestBody"), verb == "post" || verb == "patch") << id;
    }
  }
  std::set<std::string> expected;
  for (const auto& [service, one, all, route] : std::vector<std::array<std::string, 4>>{
           {"CapacityClaimService", "CapacityClaim", "CapacityClaims", "capacityclaims"},
           {"DeploymentService", "Deployment", "Deployments", "deployments"},
           {"GatewayService", "Gateway", "Gateways", "gateways"}}) {
    const std::string base = "/v1alpha1/inference/" + route;
    expected.insert("get " + base + " " + service + "_List" + all);
    expected.insert("post " + base + " " + service + "_Create" + one);
    expected.insert("get " + base + "/{id} " + service + "_Get" + one);
    expected.insert("patch " + base + "/{id} " + service + "_Update" + one);
    expected.insert("delete " + base + "/{id} " + service + "_Delete" + one);
    expected.insert("get " + base + "/parameters " + service + "_Get" + one + "Parameters");
  }
  EXPECT_EQ(operations, expected);
}

TEST(OpenApi, draws_the_operation_that_gets_a_claim) {
  const ordered_json& operation =
      document().at("paths").at("/v1alpha1/inference/capacityclaims/{id}").at("get");
  EXPECT_EQ(operation.at("summary"), "Get capacity claim");
  EXPECT_EQ(without_prose(operation.at("parameters")), ordered_json::parse(R"([
    {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}])"));
  EXPECT_EQ(operation.at("responses").at("200").at("content").at("application/json"),
            (ordered_json{{"schema", {{"$ref", reference("GetCapacityClaimResponse")}}}}));
}

TEST(OpenApi, draws_query_parameters) {
  const ordered_json& paths = document().at("paths");
  EXPECT_EQ(without_prose(paths.at("/v1alpha1/inference/deployments").at("get").at("parameters")),
            ordered_json::parse(R"([
    {"name": "parentGatewayId", "in": "query", "schema": {"type": "string"}},
    {"name": "updatedAfter", "in": "query", "schema": {"type": "string", "format": "date-time"}}
  ])"));
  EXPECT_EQ(without_prose(
                paths.at("/v1alpha1/inference/deployments/parameters").at("get").at("parameters")),
            ordered_json::parse(R"([{"name": "gatewayIds", "in": "query",
    "schema": {"type": "array", "items": {"type": "string"}}}])"));
}

TEST(OpenApi, draws_the_schemas_of_a_claim) {
  expect_schema("GetCapacityClaimResponse",
                object_with({{"capacityClaim", output_message("CapacityClaim")}}));
  expect_schema("CapacityClaim", object_with({{"spec", output_message("CapacityClaimSpec")},
                                              {"status", output_message("CapacityClaimStatus")}}));
  expect_schema("CapacityClaimSpec",
                object_with({{"id", output(text)},
                             {"name", output(text)},
                             {"resources", output_message("CapacityClaimResources")},
                             {"organizationId", output(text)}}));
  ordered_json resources = object_with(
      {{"instanceId", text},
       {"instanceCount", count},
       {"zones", {{"type", "array"}, {"items", text}}},
       {"capacityType",
        {{"type", "string"},
         {"enum",
          {"CAPACITY_TYPE_SERVERLESS", "CAPACITY_TYPE_CUSTOMER", "CAPACITY_TYPE_MANAGED"}}}}});
  resources["required"] = {"instanceId", "instanceCount", "capacityType", "zones"};
  expect_schema("CapacityClaimResources", resources);
}

TEST(OpenApi, draws_the_schemas_of_a_claims_status) {
  expect_schema(
      "CapacityClaimStatus",
      object_with({{"createdAt", output(time_text)},
                   {"updatedAt", output(time_text)},
                   {"conditions",
                    output({{"type", "array"}, {"items", {{"$ref", reference("Condition")}}}})},
                   {"allocatedInstances", output(count)},
                   {"pendingInstances", output(count)},
                   {"status", output({{"type", "string"},
                                      {"enum",
                                       {"STATUS_CREATING", "STATUS_UPDATING", "STATUS_DELETING",
                                        "STATUS_ERROR", "STATUS_FAILED", "STATUS_READY"}}})}}));
  expect_schema(
      "Condition",
      object_with(
          {{"type", output(text)},
           {"lastUpdateTime", output(time_text)},
           {"reason", output(text)},
           {"message", output(text)},
           {"zone", output(text)},
           {"status", output({{"type", "string"}, {"enum", {"Unknown", "False", "True"}}})}}));
}

TEST(OpenApi, draws_the_schema_of_errors) {
  expect_schema(
      "Status",
      object_with({{"code", {{"type", "integer"}, {"format", "int32"}}},
                   {"message", text},
                   {"details",
                    {{"type", "array"}, {"items", {{"$ref", reference("GoogleProtobufAny")}}}}}}));
  ordered_json any = object_with({{"@type", text}});
  any["additionalProperties"] = true;
  expect_schema("GoogleProtobufAny", any);
}

TEST(OpenApi, requires_what_a_deployment_cannot_do_without) {
  EXPECT_EQ(schema("CreateDeploymentRequest").at("required"),
            (ordered_json{"name", "gatewayIds", "runtime", "resources", "model", "autoscaling",
                          "traffic"}));
  EXPECT_EQ(schema("UpdateCapacityClaimRequest").at("required"), (ordered_json{"id", "resources"}));
  EXPECT_EQ(schema("CreateCapacityClaimRequest").at("required"), (ordered_json{"resources"}));
}

TEST(OpenApi, draws_maps_as_additional_properties) {
  EXPECT_EQ(
      without_prose(
          schema("GetCapacityClaimParametersResponse").at("properties").at("zoneInstanceTypes")),
      ordered_json::parse(R"({"type": "object", "additionalProperties": {
    "$ref": "#/components/schemas/GetCapacityClaimParametersResponse_InstanceTypes"},
    "readOnly": true})"));
}

TEST(OpenApi, resolves_every_reference) {
  std::vector<const ordered_json*> open = {&document()};
  while (!open.empty()) {
    const ordered_json& value = *open.back();
    open.pop_back();
    if (value.is_object() && value.contains("$ref")) {
      const auto name = value.at("$ref").get<std::string>().substr(reference("").size());
      EXPECT_TRUE(document().at("components").at("schemas").contains(name)) << name;
    }
    if (!value.is_structured()) continue;
    for (const auto& member : value) open.push_back(&member);
  }
}

TEST(OpenApi, describes_what_staithe_adds_in_a_document_of_its_own) {
  const ordered_json added = ordered_json::parse(staithe_openapi_json());
  std::set<std::string> operations;
  for (const auto& [path, verbs] : added.at("paths").items()) {
    for (const auto& [verb, operation] : verbs.items()) {
      operations.insert(verb + " " + path);
      EXPECT_FALSE(operation.at("description").get<std::string>().empty()) << path;
    }
  }
  EXPECT_EQ(
      operations,
      (std::set<std::string>{
          "get /staithe/v1/nodes", "post /staithe/v1/nodes", "get /staithe/v1/nodes/{id}",
          "delete /staithe/v1/nodes/{id}", "post /staithe/v1/nodes/{id}/drain",
          "post /staithe/v1/nodes/{id}/resume", "get /staithe/v1/deployments/{id}/explanation",
          "post /staithe/v1/plans/deployment", "post /staithe/v1/plans/capacityclaim",
          "get /staithe/v1/usage", "get /staithe/v1/limits", "post /staithe/v1/limits",
          "get /staithe/v1/limits/{id}", "delete /staithe/v1/limits/{id}"}));
  EXPECT_TRUE(added.at("components").at("schemas").contains("CreateDeploymentRequest"));
  EXPECT_EQ(staithe_openapi_yaml(), to_yaml(added));
}

TEST(OpenApi, is_the_same_document_in_yaml) {
  EXPECT_EQ(openapi_yaml(), to_yaml(document()));
}

TEST(Yaml, quotes_what_would_not_read_back_as_text) {
  EXPECT_EQ(to_yaml({{"200", "True"}, {"a", "x: y"}, {"b", ""}, {"c", "- d"}, {"e", "0.0.1"}}),
            "\"200\": \"True\"\na: \"x: y\"\nb: \"\"\nc: \"- d\"\ne: \"0.0.1\"\n");
}

TEST(Yaml, nests_lists_and_members) {
  EXPECT_EQ(to_yaml(ordered_json::parse(R"({"a": [{"b": 1, "c": [true]}, []], "d": {"e": {}}})")),
            "a:\n  - b: 1\n    c:\n      - true\n  - []\nd:\n  e: {}\n");
}

TEST(Yaml, folds_long_paragraphs) {
  const std::string words(50, 'a');
  EXPECT_EQ(to_yaml({{"k", words + " " + words}}), "k: >-\n  " + words + "\n  " + words + "\n");
}

}  // namespace
}  // namespace staithe::api
