#include "store/records.h"

#include <gtest/gtest.h>

#include "store/memory/memory_store.h"

namespace staithe::store {
namespace {

Timestamp at(int seconds) {
  return Timestamp{std::chrono::seconds{seconds}};
}

model::CapacityClaim make_claim(std::string id, std::string name) {
  model::CapacityClaim claim;
  claim.spec = {.id = std::move(id), .name = std::move(name), .organization_id = "cw1a2b"};
  claim.status.created_at = at(1);
  claim.status.nodes = {"n2", "n1"};
  return claim;
}

model::Gateway make_gateway() {
  model::Gateway gateway;
  gateway.spec = {.id = "g1",
                  .name = "edge",
                  .endpoint_configuration =
                      model::EndpointConfiguration{.additional_dns = {"A.example", "a.Example"}},
                  .organization_id = "cw1a2b"};
  gateway.status.endpoints = {"http://x"};
  gateway.status.created_at = at(2);
  return gateway;
}

TEST(Keys, fold_names_and_hosts_and_keep_kinds_and_organizations_apart) {
  EXPECT_EQ(name_key(Kind::claim, "cw1a2b", "Train"), name_key(Kind::claim, "cw1a2b", "tRAIN"));
  EXPECT_NE(name_key(Kind::claim, "cw1a2b", "x"), name_key(Kind::gateway, "cw1a2b", "x"));
  EXPECT_NE(name_key(Kind::claim, "cw1a2b", "x"), name_key(Kind::claim, "cw1a2c", "x"));
  EXPECT_EQ(dns_key("A.Example"), dns_key("a.example"));
  EXPECT_NE(gpu_slot_key("n1", 0), gpu_slot_key("n1", 1));
  EXPECT_NE(gpu_slot_key("n1", 0), gpu_slot_key("n2", 0));
  EXPECT_EQ(node_of(gpu_slot_key("n1.example.com", 12)), "n1.example.com");
  EXPECT_EQ(node_of(claim_node_key("n2")), "n2");
  EXPECT_EQ(node_of(dns_key("n3")), "");
}

TEST(Keys, of_values_are_sorted_and_none_is_twice) {
  EXPECT_EQ(
      keys_of(make_gateway()),
      (std::vector<UniqueKey>{dns_key("a.example"), name_key(Kind::gateway, "cw1a2b", "edge")}));
  EXPECT_EQ(keys_of(make_claim("c1", "train")),
            (std::vector<UniqueKey>{claim_node_key("n1"), claim_node_key("n2"),
                                    name_key(Kind::claim, "cw1a2b", "train")}));
}

TEST(Records, come_back_as_they_were_created_and_updated) {
  MemoryStore store;
  const model::CapacityClaim claim = make_claim("c1", "train");
  model::Deployment deployment;
  deployment.spec = {.id = "d1", .name = "chat", .organization_id = "cw1a2b"};
  const model::Node node{.id = "n1", .zone = "Z", .instance_type = "cpu-1x", .gpu_count = 1};
  model::Replica replica{.id = "r1", .deployment_id = "d1", .parts = {{"n1", {0, 1}}, {"n2", {0}}}};
  const model::Limit limit{.organization_id = "cw1a2b", .token_id = "t", .parallel_requests = 4};
  ASSERT_TRUE(store.commit_and_wait({create_step(claim), create_step(make_gateway()),
                                     create_step(deployment), create_step(node, at(3)),
                                     create_step(replica), create_step(limit, at(4))}));

  const auto stored_claim = get_claim(store, "c1");
  ASSERT_TRUE(stored_claim && *stored_claim);
  EXPECT_EQ((*stored_claim)->value, claim);
  EXPECT_EQ((*stored_claim)->version, 1u);
  EXPECT_EQ((*stored_claim)->revision, 1u);
  EXPECT_EQ((*stored_claim)->keys, keys_of(claim));
  EXPECT_EQ((*get_gateway(store, "g1"))->value, make_gateway());
  EXPECT_EQ((*get_deployment(store, "d1"))->value, deployment);
  EXPECT_EQ((*get_node(store, "n1"))->value, node);
  EXPECT_EQ((*get_replica(store, "r1"))->value, replica);
  EXPECT_EQ((*get_limit(store, "cw1a2b:t"))->value, limit);
  EXPECT_EQ(list_limits(store, "cw1a2b")->size(), 1u);
  EXPECT_EQ(list_limits(store, "cw9f9f")->size(), 0u);
  EXPECT_EQ((*get_replica(store, "r1"))->keys, keys_of(replica));

  EXPECT_TRUE(store.find(gpu_slot_key("n2", 0))->has_value());

  replica.parts = {{"n1", {1}}};
  ASSERT_TRUE(store.commit_and_wait({update_step(replica, 1)}));
  EXPECT_EQ(list_replicas(store)->at(0).value, replica);
  EXPECT_EQ(*store.find(gpu_slot_key("n1", 0)), std::nullopt);
  EXPECT_EQ(*store.find(gpu_slot_key("n2", 0)), std::nullopt);
  EXPECT_EQ(list_claims(store, "cw1a2b")->size(), 1u);
  EXPECT_EQ(list_claims(store, "other")->size(), 0u);
  EXPECT_EQ(list_nodes(store)->size(), 1u);
  EXPECT_EQ(*get_claim(store, "none") ? 1 : 0, 0);
}

TEST(Records, two_claims_of_an_organization_cannot_share_a_node) {
  MemoryStore store;
  ASSERT_TRUE(store.commit_and_wait({create_step(make_claim("c1", "one"))}));
  const auto refused = store.commit_and_wait({create_step(make_claim("c2", "two"))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, reason_key_taken);
  EXPECT_EQ(refused.error().resources.at(0).name, "c1");
}

TEST(Records, name_the_record_that_cannot_be_read) {
  MemoryStore store;
  ASSERT_TRUE(store.commit_and_wait({Create{.kind = Kind::claim, .id = "c1", .spec = "{"}}));
  for (const Code code : {get_claim(store, "c1").error().code, list_claims(store).error().code}) {
    EXPECT_EQ(code, Code::data_loss);
  }
  EXPECT_NE(get_claim(store, "c1").error().message.find("capacity claim c1"), std::string::npos);
}

}  // namespace
}  // namespace staithe::store
