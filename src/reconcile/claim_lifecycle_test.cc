#include <gtest/gtest.h>

#include "reconcile/testing/fixture.h"

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::claim_spec;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;
using testing::Statuses;

class ClaimAndGatewayTest : public testing::ReconcileTest {};

// ---- claims

TEST_F(ClaimAndGatewayTest, a_claim_gets_its_nodes_with_one_write) {
  rig_.driver.add_node(node("n1"));
  rig_.driver.add_node(node("n2"));
  rig_.create(claim_spec("c1", 2));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 1s));
  const auto claim = rig_.claim("c1");
  EXPECT_EQ(claim->status.allocated_instances, 2U);
  EXPECT_EQ(claim->status.pending_instances, 0U);
  EXPECT_EQ(Rig::condition(claim, "Allocated"), "True/AllAllocated");
  EXPECT_EQ(Rig::condition(claim, "Ready"), "True/AsExpected");
  rig_.run_for(2min);
  EXPECT_EQ(rig_.witness.write_count("c1"), 2U) << "created, then ready, and nothing since (P04)";
}

TEST_F(ClaimAndGatewayTest, P10_a_claim_without_room_stays_creating_and_gets_what_comes) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 2));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c1", creating));
  EXPECT_EQ(Rig::condition(rig_.claim("c1"), "Allocated", "ZONE-A"), "False/Partial");
  EXPECT_EQ(Rig::message(rig_.claim("c1"), "Allocated", "ZONE-A"), "needed 2, free 1, missing 1");
  rig_.driver.add_node(node("n2"));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 10s));
  EXPECT_EQ(rig_.witness.seen("c1"), (Statuses{creating, ready}));
}

TEST_F(ClaimAndGatewayTest, K01_of_two_claims_for_the_last_node_the_older_gets_it) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c2", 1));
  rig_.create(claim_spec("c1", 1));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c2", ready));
  EXPECT_TRUE(rig_.claim_is("c1", creating));
  EXPECT_EQ(rig_.claim("c1")->status.pending_instances, 1U);
  rig_.erase_claim("c2");
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 1s));
  EXPECT_FALSE(rig_.claim("c2").has_value());
}

TEST_F(ClaimAndGatewayTest, a_claim_that_grows_without_room_is_updating_and_loses_nothing) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  rig_.update_claim("c1", [](auto& spec) { spec.resources.instance_count = 2; });
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c1", updating));
  EXPECT_EQ(rig_.claim("c1")->status.allocated_instances, 1U);
  rig_.driver.add_node(node("n2"));
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
}

TEST_F(ClaimAndGatewayTest, a_ready_claim_whose_node_is_gone_is_in_error_until_it_has_another) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  rig_.driver.remove_node("n1");
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", error); }));
  EXPECT_EQ(rig_.claim("c1")->status.pending_instances, 1U);
  rig_.driver.add_node(node("n2"));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  EXPECT_EQ(rig_.claim("c1")->status.nodes, (std::vector<model::Id>{"n2"}));
  rig_.run_for(30s);
  EXPECT_EQ(store::list_nodes(rig_.store)->size(), 1U) << "nothing names the lost node any more";
}

TEST_F(ClaimAndGatewayTest, K02_deleting_a_claim_in_use_moves_its_replicas_and_frees_its_nodes) {
  rig_.driver.add_node(node("n1"));
  rig_.create(claim_spec("c1", 1));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }));
  deploy(deployment_spec("d1"));
  EXPECT_EQ(rig_.replicas("d1")[0].claim_id, "c1");
  rig_.driver.add_node(node("n2"));
  rig_.run_for(10s);
  const model::Id first = rig_.replicas("d1")[0].id;
  rig_.busy.insert(first);
  rig_.erase_claim("c1");
  rig_.run_for(5s);
  EXPECT_TRUE(rig_.claim_is("c1", deleting)) << "a request is still running inside";
  EXPECT_EQ(rig_.routable_count("d1"), 1U) << "on the other node";
  rig_.busy.clear();
  ASSERT_TRUE(rig_.run_until([&] { return !rig_.claim("c1").has_value(); }, 1s));
  EXPECT_EQ(rig_.replicas("d1").size(), 1U);
  EXPECT_EQ(rig_.replicas("d1")[0].parts[0].node_id, "n2");
  EXPECT_TRUE(rig_.deployment_is("d1", ready));
  EXPECT_EQ(rig_.witness.seen("d1"), (Statuses{creating, ready}));
}

TEST_F(ClaimAndGatewayTest, K04_a_claim_takes_no_node_that_is_used_on_demand) {
  rig_.driver.add_node(node("n1"));
  rig_.create(gateway_spec("g1"));
  deploy(deployment_spec("d1"));
  rig_.create(claim_spec("c1", 1));
  rig_.run_for(1min);
  EXPECT_TRUE(rig_.claim_is("c1", creating));
  rig_.erase_deployment("d1");
  EXPECT_TRUE(rig_.run_until([&] { return rig_.claim_is("c1", ready); }, 1s));
}

// ---- gateways

TEST_F(ClaimAndGatewayTest, a_gateway_is_ready_at_once) {
  rig_.create(gateway_spec("g1"));
  ASSERT_TRUE(rig_.run_until([&] { return rig_.gateway_is("g1", ready); }, 10ms));
  EXPECT_EQ(Rig::condition(rig_.gateway("g1"), "EndpointReady"), "True/Listening");
  EXPECT_EQ(Rig::condition(rig_.gateway("g1"), "AuthReady"), "True/Configured");
  rig_.run_for(2min);
  EXPECT_EQ(rig_.witness.write_count("g1"), 2U);
}

TEST_F(ClaimAndGatewayTest, a_gateway_whose_keys_nobody_can_verify_is_ready_and_says_so) {
  auto spec = gateway_spec("g1");
  spec.auth = model::WeightsAndBiasesAuth{};
  rig_.create(spec);
  ASSERT_TRUE(rig_.run_until([&] { return rig_.gateway_is("g1", ready); }, 10ms));
  EXPECT_EQ(Rig::condition(rig_.gateway("g1"), "AuthReady"), "False/ProviderUnreachable");
}

TEST_F(ClaimAndGatewayTest, a_gateway_goes_after_the_last_deployment_that_names_it) {
  rig_.driver.add_node(node("n1"));
  rig_.create(gateway_spec("g1"));
  deploy(deployment_spec("d1"));
  rig_.busy.insert(rig_.replicas("d1")[0].id);
  rig_.erase_deployment("d1");
  rig_.erase_gateway("g1");
  rig_.run_for(5s);
  EXPECT_TRUE(rig_.gateway_is("g1", deleting));
  rig_.busy.clear();
  ASSERT_TRUE(rig_.run_until([&] { return !rig_.gateway("g1").has_value(); }, 1s));
  EXPECT_FALSE(rig_.deployment("d1").has_value());
}

}  // namespace
}  // namespace staithe::reconcile
