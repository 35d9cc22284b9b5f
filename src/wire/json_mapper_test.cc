#include "wire/json_mapper.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "coreweave/inference/v1alpha1/capacity_claim.pb.h"
#include "coreweave/inference/v1alpha1/deployment.pb.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"

namespace staithe::wire {
namespace {

namespace pb = ::coreweave::inference::v1alpha1;

template <typename Message>
Message read(std::string_view text, Spelling spelling = Spelling::rest) {
  Message message;
  const auto outcome = parse_json(text, spelling, message);
  EXPECT_TRUE(outcome) << text << ": " << (outcome ? "" : outcome.error().message);
  return message;
}

// The field that the refusal names; "-" when it names none, "accepted" when nothing was refused.
template <typename Message>
std::string refused_field(std::string_view text, Spelling spelling = Spelling::rest) {
  Message message;
  const auto outcome = parse_json(text, spelling, message);
  if (outcome) return "accepted";
  EXPECT_EQ(outcome.error().code, Code::invalid_argument);
  EXPECT_FALSE(outcome.error().message.empty());
  return outcome.error().violations.empty() ? "-" : outcome.error().violations[0].field;
}

TEST(JsonMapper, takes_names_in_either_spelling) {
  EXPECT_EQ(read<pb::CapacityClaimResources>(R"({"instanceId":"a"})").instance_id(), "a");
  EXPECT_EQ(read<pb::CapacityClaimResources>(R"({"instance_id":"a"})").instance_id(), "a");
  EXPECT_EQ(refused_field<pb::CapacityClaimResources>(R"({"instanceId":"a","instance_id":"a"})"),
            "instanceId");
}

TEST(JsonMapper, refuses_a_name_given_twice_at_any_depth) {
  EXPECT_EQ(refused_field<pb::CapacityClaimResources>(R"({"zones":[],"a":1,"zones":[]})"), "-");
  EXPECT_EQ(refused_field<pb::CapacityClaimResources>(R"({"unknown":[{"b":1,"\u0062":2}]})"), "-");
  EXPECT_EQ(refused_field<pb::CapacityClaimResources>(R"({"a":{"c":1},"b":{"c":1}})"), "accepted");
}

TEST(JsonMapper, a_great_many_names_take_no_time_worth_mentioning) {
  std::string body = "{";
  for (int i = 0; i < 300'000; ++i) body += fmt::format("\"{}\":1,", i);
  body += R"("instanceId":"a"})";
  const SystemClock clock;
  const Instant started = clock.instant();
  EXPECT_EQ(read<pb::CapacityClaimResources>(body).instance_id(), "a");
  EXPECT_LT(clock.instant() - started, std::chrono::seconds(5));
}

TEST(JsonMapper, takes_whole_numbers_however_they_are_written) {
  for (const char* text : {"7", "7.0", "0.7e1", "70e-1", "\"7\"", "\"7.0\""}) {
    const std::string body = fmt::format(R"({{"instanceCount":{}}})", text);
    EXPECT_EQ(read<pb::CapacityClaimResources>(body).instance_count(), 7u) << text;
  }
  EXPECT_EQ(read<pb::CapacityClaimResources>(R"({"instanceCount":4294967295})").instance_count(),
            4294967295u);
}

TEST(JsonMapper, refuses_numbers_that_are_not_of_the_type) {
  for (const char* text : {"-1", "1.5", "4294967296", "1e10", "\"\"", "\"x\"", "\" 7\"", "true",
                           "[]", "18446744073709551616", "1e400"}) {
    const std::string body = fmt::format(R"({{"instanceCount":{}}})", text);
    EXPECT_EQ(refused_field<pb::CapacityClaimResources>(body),
              text == std::string("1e400") ? "-" : "instanceCount")
        << text;
  }
}

TEST(JsonMapper, takes_enums_by_name_and_number_and_keeps_unknown_numbers) {
  using Resources = pb::CapacityClaimResources;
  EXPECT_EQ(read<Resources>(R"({"capacityType":"CAPACITY_TYPE_MANAGED"})").capacity_type(), 3);
  EXPECT_EQ(read<Resources>(R"({"capacityType":1})").capacity_type(), 1);
  EXPECT_EQ(read<Resources>(R"({"capacityType":99})").capacity_type(), 99);
  EXPECT_EQ(refused_field<Resources>(R"({"capacityType":"MANAGED"})"), "capacityType");
  EXPECT_EQ(refused_field<Resources>(R"({"capacityType":"3"})"), "capacityType");
}

TEST(JsonMapper, takes_rest_spellings_on_rest_alone) {
  EXPECT_EQ(read<pb::Condition>(R"({"status":"True"})").status(), pb::Condition::STATUS_TRUE);
  EXPECT_EQ(refused_field<pb::Condition>(R"({"status":"True"})", Spelling::descriptor), "status");
  EXPECT_EQ(read<pb::Condition>(R"({"status":"STATUS_FALSE"})", Spelling::descriptor).status(),
            pb::Condition::STATUS_FALSE);
}

TEST(JsonMapper, names_the_place_of_what_is_wrong) {
  using Request = pb::CreateDeploymentRequest;
  EXPECT_EQ(refused_field<Request>(R"({"gatewayIds":["a",1]})"), "gatewayIds[1]");
  EXPECT_EQ(refused_field<Request>(R"({"gatewayIds":[null]})"), "gatewayIds[0]");
  EXPECT_EQ(refused_field<Request>(R"({"autoscaling":{"max":"many"}})"), "autoscaling.max");
  EXPECT_EQ(refused_field<Request>(R"({"autoscaling":[]})"), "autoscaling");
  EXPECT_EQ(refused_field<Request>(R"({"runtime":{"engineConfig":{"a":1}}})"),
            "runtime.engineConfig[\"a\"]");
  EXPECT_EQ(refused_field<Request>(R"({"runtime":{"engineConfig":{"a":null}}})"),
            "runtime.engineConfig[\"a\"]");
  EXPECT_EQ(refused_field<Request>(R"({"disabled":1})"), "disabled");
  EXPECT_EQ(refused_field<Request>(R"({"name":{}})"), "name");
}

TEST(JsonMapper, treats_null_as_absent_and_ignores_what_it_does_not_know) {
  const auto request = read<pb::CreateGatewayRequest>(
      R"({"id":null,"zones":null,"coreWeaveAuth":null,"futureField":{"a":[1,{"b":null}]},"name":"edge"})");
  EXPECT_EQ(request.name(), "edge");
  EXPECT_EQ(request.auth_case(), pb::CreateGatewayRequest::AUTH_NOT_SET);
}

TEST(JsonMapper, refuses_two_members_of_one_choice) {
  EXPECT_EQ(
      refused_field<pb::CreateGatewayRequest>(R"({"coreWeaveAuth":{},"weightsAndBiasesAuth":{}})"),
      "weightsAndBiasesAuth");
}

TEST(JsonMapper, refuses_what_is_not_one_json_object) {
  for (const char* text : {"", " ", "{", "[]", "\"x\"", "1", "null", "{} {}", "{\"a\":1,\"a\":2}",
                           "{\"future\":{\"a\":1,\"a\":2}}", "{\"name\":\"\xff\"}", "{'a':1}",
                           "{\"a\":01}", "{\"a\":NaN}", "{\"a\":1,}", "\xef\xbb\xbf{"}) {
    EXPECT_EQ(refused_field<pb::CreateGatewayRequest>(text), "-") << text;
  }
}

TEST(JsonMapper, bounds_the_depth) {
  const auto nested = [](std::size_t depth) {
    return "{\"future\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(refused_field<pb::CreateGatewayRequest>(nested(json_depth_max)), "accepted");
  EXPECT_EQ(refused_field<pb::CreateGatewayRequest>(nested(json_depth_max + 1)), "-");
  EXPECT_EQ(refused_field<pb::CreateGatewayRequest>(std::string(1'000'000, '[')), "-");
}

TEST(JsonMapper, reads_timestamps_with_any_offset) {
  const auto request =
      read<pb::ListGatewaysRequest>(R"({"updatedAfter":"2026-11-25T04:25:53.123456789+01:30"})");
  EXPECT_EQ(request.updated_after().seconds(), 1'795'575'353);
  EXPECT_EQ(request.updated_after().nanos(), 123'456'000);
  EXPECT_EQ(read<pb::ListGatewaysRequest>(R"({"updatedAfter":"1969-12-31T23:59:59.5Z"})")
                .updated_after()
                .seconds(),
            -1);
  EXPECT_EQ(refused_field<pb::ListGatewaysRequest>(R"({"updatedAfter":"now"})"), "updatedAfter");
  EXPECT_EQ(refused_field<pb::ListGatewaysRequest>(R"({"updatedAfter":5})"), "updatedAfter");
}

TEST(JsonMapper, prints_unset_values_on_rest_and_leaves_unset_messages_out) {
  pb::DeploymentSpec spec;
  spec.mutable_traffic();
  EXPECT_EQ(
      print_json(spec, Spelling::rest),
      R"({"id":"","name":"","gatewayIds":[],"traffic":{"weight":0},"organizationId":"","disabled":false})");
  EXPECT_EQ(print_json(spec, Spelling::descriptor), R"({"traffic":{}})");
}

TEST(JsonMapper, prints_no_member_of_a_choice_that_is_not_set) {
  pb::GatewaySpec spec;
  spec.mutable_path_based_routing();
  EXPECT_EQ(print_json(spec, Spelling::rest),
            R"({"id":"","name":"","zones":[],"organizationId":"","pathBasedRouting":{}})");
}

TEST(JsonMapper, prints_enums_as_each_dialect_spells_them) {
  pb::Condition condition;
  condition.set_status(pb::Condition::STATUS_TRUE);
  EXPECT_NE(print_json(condition, Spelling::rest).find(R"("status":"True")"), std::string::npos);
  EXPECT_EQ(print_json(condition, Spelling::descriptor), R"({"status":"STATUS_TRUE"})");
  condition.set_status(pb::Condition::STATUS_UNSPECIFIED);
  EXPECT_NE(print_json(condition, Spelling::rest).find(R"("status":"Unknown")"), std::string::npos);
}

TEST(JsonMapper, sorts_the_keys_of_maps) {
  pb::DeploymentRuntime runtime;
  for (const char* key : {"b", "c", "a"}) (*runtime.mutable_engine_config())[key] = key;
  EXPECT_EQ(print_json(runtime, Spelling::descriptor),
            R"({"engineConfig":{"a":"a","b":"b","c":"c"}})");
}

TEST(JsonMapper, reads_back_what_it_prints) {
  const std::string text =
      R"({"name":"\u00e4\n\"","gatewayIds":["x","y"],"runtime":{"engine":"vllm","engineConfig":{"k":"v"}},"autoscaling":{"min":1,"max":2,"capacityClasses":["CAPACITY_CLASS_RESERVED"]},"disabled":true})";
  for (const Spelling spelling : {Spelling::rest, Spelling::descriptor}) {
    const auto once = read<pb::CreateDeploymentRequest>(text, spelling);
    const auto twice = read<pb::CreateDeploymentRequest>(print_json(once, spelling), spelling);
    EXPECT_EQ(once.SerializeAsString(), twice.SerializeAsString());
  }
}

}  // namespace
}  // namespace staithe::wire
