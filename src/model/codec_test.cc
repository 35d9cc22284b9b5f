#include "model/codec.h"

#include <gtest/gtest.h>

namespace staithe::model {
namespace {

using std::chrono::microseconds;

template <typename Status>
Status filled_base() {
  Status status;
  status.created_at = Timestamp{microseconds{1'795'575'353'000'001}};
  status.updated_at = Timestamp{microseconds{1'795'575'353'000'002}};
  status.status = model::Status::failed;
  status.conditions = {{.type = "Ready",
                        .status = ConditionStatus::is_true,
                        .last_update_time = Timestamp{microseconds{-3}},
                        .reason = "Settled",
                        .message = "all \"good\"\n",
                        .zone = ""},
                       {.type = "Allocated",
                        .status = ConditionStatus::is_false,
                        .last_update_time = Timestamp{microseconds{4}},
                        .reason = "NoCapacity",
                        .message = "wait",
                        .zone = "US-EAST-04A"}};
  status.generation = 5;
  status.observed_generation = 6;
  status.was_ready = true;
  return status;
}

DeploymentSpec filled_deployment() {
  return {.id = "d1",
          .name = "chat",
          .gateway_ids = {"g2", "g1"},
          .runtime = {.engine = "vllm",
                      .version = "0.20.2",
                      .engine_config = {{"max-model-len", "4096"}, {"dtype", "auto"}},
                      .engine_env = {{"VLLM_LOGGING_LEVEL", "DEBUG"}}},
          .resources = {.instance_type = "gb200-4x", .gpu_count = 2},
          .model = {.name = "org/model", .bucket = "weights", .path = "a/b"},
          .autoscaling = {.min = 1,
                          .max = 4,
                          .priority = 7,
                          .capacity_classes = {CapacityClass::on_demand, CapacityClass::reserved},
                          .concurrency = 8},
          .traffic = {.weight = 50},
          .organization_id = "cw1a2b",
          .disabled = true};
}

GatewaySpec filled_gateway() {
  return {.id = "g1",
          .name = "edge",
          .zones = {"us-west-04a"},
          .auth = WeightsAndBiasesAuth{.api_key = "k",
                                       .server_url = "https://wandb.example",
                                       .enable_usage_reports = true,
                                       .enable_rate_limiting = true},
          .routing = HeaderBasedRouting{.header_name = "X-Model"},
          .endpoint_configuration =
              EndpointConfiguration{.additional_dns = {"a.example"},
                                    .allowed_source_ip_ranges = {"192.0.2.0/24", "::1"}},
          .organization_id = "cw1a2b"};
}

// Decodes what encode() wrote into a value that must not shine through.
template <typename T>
T round_trip(const T& value, T target = {}) {
  const Result<void> decoded = decode(encode(value), target);
  EXPECT_TRUE(decoded) << encode(value);
  return target;
}

TEST(Codec, keeps_every_field_of_a_claim) {
  const ClaimSpec spec{.id = "c1",
                       .name = "train",
                       .resources = {.instance_id = "Gb200-4X",
                                     .instance_count = 3,
                                     .capacity_type = CapacityType::serverless,
                                     .zones = {"us-east-04a", "US-WEST-04A"}},
                       .organization_id = "cw1a2b"};
  EXPECT_EQ(round_trip(spec), spec);

  auto status = filled_base<ClaimStatus>();
  status.allocated_instances = 2;
  status.pending_instances = 1;
  status.nodes = {"n1", "n2"};
  EXPECT_EQ(round_trip(status), status);
}

TEST(Codec, keeps_every_field_of_a_deployment) {
  EXPECT_EQ(round_trip(filled_deployment()), filled_deployment());
  const auto status = filled_base<DeploymentStatus>();
  EXPECT_EQ(round_trip(status), status);
}

TEST(Codec, keeps_every_field_of_a_gateway) {
  EXPECT_EQ(round_trip(filled_gateway()), filled_gateway());
  auto status = filled_base<GatewayStatus>();
  status.endpoints = {"http://a.example/x", "http://b.example"};
  EXPECT_EQ(round_trip(status), status);
}

TEST(Codec, keeps_each_way_to_authenticate_and_route) {
  GatewaySpec spec = filled_gateway();
  spec.auth = CoreWeaveAuth{};
  spec.routing = PathBasedRouting{};
  EXPECT_EQ(round_trip(spec, filled_gateway()), spec);
  spec.routing = BodyBasedRouting{.api_type = ApiType::openai};
  EXPECT_EQ(round_trip(spec, filled_gateway()), spec);
}

TEST(Codec, tells_an_empty_endpoint_configuration_from_an_absent_one) {
  GatewaySpec spec;
  EXPECT_EQ(round_trip(spec, filled_gateway()), spec);
  spec.endpoint_configuration.emplace();
  EXPECT_EQ(round_trip(spec), spec);
}

TEST(Codec, keeps_every_field_of_a_limit) {
  const Limit limit{.organization_id = "cw1a2b",
                    .token_id = "wandb:acme",
                    .requests_per_minute = 1,
                    .tokens_per_minute = 4'294'967'295,
                    .parallel_requests = 3,
                    .models = {"meta/llama", "qwen"}};
  EXPECT_EQ(round_trip(limit), limit);
  EXPECT_EQ(limit.id(), "cw1a2b:wandb:acme");
  EXPECT_EQ(Limit{.organization_id = "cw1a2b"}.id(), "cw1a2b");
}

TEST(Codec, keeps_every_field_of_a_node_and_a_replica) {
  const Node node{.id = "n1",
                  .zone = "US-LOCAL-01A",
                  .instance_type = "cpu-1x",
                  .gpu_count = 8,
                  .owner_organization = "cw1a2b",
                  .schedulable = false,
                  .source = NodeSource::joined,
                  .is_draining = true};
  EXPECT_EQ(round_trip(node), node);
  Node older;
  ASSERT_TRUE(decode(R"({"id": "n1", "zone": "Z", "schedulable": true})", older).has_value());
  EXPECT_EQ(older.source, NodeSource::detected) << "records from before there were sources";
  EXPECT_FALSE(older.is_draining);

  const Replica replica{.id = "d1-0-ff",
                        .deployment_id = "d1",
                        .organization_id = "cw1a2b",
                        .parts = {{"n1", {0, 3}}, {"n2", {0, 1, 2, 3}}},
                        .claim_id = "c1",
                        .spec_hash = 0xffff'ffff'ffff'fffe,
                        .draining = true,
                        .created_at = Timestamp{microseconds{9}}};
  EXPECT_EQ(round_trip(replica), replica);
}

TEST(Codec, reads_a_replica_that_was_written_before_replicas_could_span_nodes) {
  Replica replica;
  ASSERT_TRUE(decode(R"({"id":"r1","node":"n1","slots":[0,3],"claim":"c1"})", replica));
  EXPECT_EQ(replica.parts, (std::vector<ReplicaPart>{{"n1", {0, 3}}}));
  EXPECT_EQ(replica.claim_id, "c1");
}

TEST(Codec, answers_data_loss_for_a_replica_that_is_nowhere) {
  for (const char* text : {R"({"parts":[]})", R"({"parts":{}})", R"({"parts":["n1"]})",
                           R"({"parts":[{"node":1}]})", R"({"parts":[{"slots":[-1]}]})"}) {
    Replica replica;
    EXPECT_EQ(decode(text, replica).error().code, Code::data_loss) << text;
  }
}

TEST(Codec, gives_missing_keys_their_default_and_ignores_unknown_ones) {
  Node node{.id = "old", .schedulable = false};
  ASSERT_TRUE(decode(R"({"id":"n1","future":[1,{"a":2}]})", node));
  EXPECT_EQ(node, Node{.id = "n1"});

  DeploymentSpec spec = filled_deployment();
  ASSERT_TRUE(decode("{}", spec));
  EXPECT_EQ(spec, DeploymentSpec{});

  GatewaySpec gateway = filled_gateway();
  ASSERT_TRUE(decode("{}", gateway));
  EXPECT_EQ(gateway, GatewaySpec{});
}

TEST(Codec, answers_data_loss_for_what_it_cannot_read_and_keeps_the_value) {
  for (const char* text :
       {"", "{", "null", "[]", R"("x")", R"({"id":5})", R"({"gpus":-1})", R"({"gpus":4294967296})",
        R"({"gpus":"8"})", R"({"schedulable":1})", "{\"id\":\"\xff\"}"}) {
    Node node{.id = "before"};
    const Result<void> decoded = decode(text, node);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code, Code::data_loss) << text;
    EXPECT_EQ(node.id, "before") << text;
  }
}

TEST(Codec, refuses_enum_numbers_it_does_not_know) {
  ClaimSpec claim;
  EXPECT_FALSE(decode(R"({"capacity":4})", claim));
  ClaimStatus status;
  EXPECT_FALSE(decode(R"({"status":7})", status));
  EXPECT_FALSE(decode(R"({"conditions":[{"status":3}]})", status));
  EXPECT_FALSE(decode(R"({"conditions":{}})", status));
  DeploymentSpec deployment;
  EXPECT_FALSE(decode(R"({"autoscaling":{"classes":[3]}})", deployment));
  GatewaySpec gateway;
  EXPECT_FALSE(decode(R"({"routing":{"body":{"api":2}}})", gateway));
}

TEST(Codec, does_not_quote_a_broken_text_in_its_error) {
  GatewaySpec spec;
  const Result<void> decoded = decode(R"({"auth":{"wandb":{"key":"sesame")", spec);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().message.find("sesame"), std::string::npos);
}

TEST(Codec, writes_a_readable_text_even_for_bytes_that_are_not_utf8) {
  Node node;
  ASSERT_TRUE(decode(encode(Node{.id = "a\xff"}), node));
  EXPECT_EQ(node.id, "a\xef\xbf\xbd");
}

}  // namespace
}  // namespace staithe::model
