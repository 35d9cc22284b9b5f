#include "service/node_service.h"

#include <gtest/gtest.h>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

namespace v1 = staithe::v1;

v1::JoinNodeRequest machine(const std::string& id, const std::string& zone = "US-LAB-01A",
                            const std::string& type = "rtx-2x", std::uint32_t gpu_count = 2) {
  v1::JoinNodeRequest request;
  request.set_id(id);
  request.set_zone(zone);
  request.set_instance_type(type);
  request.set_gpu_count(gpu_count);
  return request;
}

class NodeServiceTest : public ServiceTest {
 protected:
  NodeService nodes_{store_, clock_, desk_.catalogue, options()};

  auto join(const v1::JoinNodeRequest& request) {
    return call(nodes_, &NodeService::join, desk_.caller, request);
  }
  auto get(const std::string& id) {
    return call(nodes_, &NodeService::get, desk_.caller, by_id<v1::GetNodeRequest>(id));
  }
  auto remove(const std::string& id, bool force = false) {
    auto request = by_id<v1::RemoveNodeRequest>(id);
    request.set_force(force);
    return call(nodes_, &NodeService::remove, desk_.caller, request);
  }

  // Puts a replica of an organization on a node, as the control plane would.
  void place(const std::string& node_id, const std::string& id, std::uint32_t slot,
             const std::string& organization = "cw1a2b") {
    store::Create step{.kind = store::Kind::replica,
                       .id = id,
                       .organization = organization,
                       .spec = R"({"id": ")" + id + R"(", "deployment": "d-)" + id +
                               R"(", "organization": ")" + organization + R"("})",
                       .status = "",
                       .created_at = clock_.now(),
                       .keys = {store::gpu_slot_key(node_id, slot)}};
    ASSERT_TRUE(store_.commit_and_wait({step}).has_value());
  }
};

TEST_F(NodeServiceTest, shows_what_uses_a_node_and_names_only_the_callers_own) {
  ASSERT_TRUE(join(machine("a")).has_value());
  place("a", "r1", 0);
  place("a", "r2", 1, "cw9f9f");
  const v1::Node node = get("a")->node();
  EXPECT_EQ(node.replica_count(), 2u);
  EXPECT_EQ(node.free_gpu_count(), 0u);
  ASSERT_EQ(node.deployment_ids_size(), 1);
  EXPECT_EQ(node.deployment_ids(0), "d-r1");
  const auto listed = call(nodes_, &NodeService::list, desk_.caller, v1::ListNodesRequest{});
  ASSERT_EQ(listed->nodes_size(), 1);
  EXPECT_EQ(listed->nodes(0).SerializeAsString(), node.SerializeAsString());
}

TEST_F(NodeServiceTest, a_node_with_replicas_is_removed_by_force_alone_and_says_whose_they_are) {
  ASSERT_TRUE(join(machine("a")).has_value());
  place("a", "r1", 0);
  place("a", "r2", 1, "cw9f9f");
  const auto refused = remove("a");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().reason, errors::reason_node_in_use);
  ASSERT_EQ(refused.error().preconditions.size(), 2u);
  EXPECT_EQ(refused.error().preconditions[0].subject, "d-r1");
  EXPECT_EQ(refused.error().preconditions[1].description, "other organizations use this node");
  ASSERT_TRUE(remove("a", true).has_value());
  EXPECT_EQ(get("a").error().code, Code::not_found);
}

TEST_F(NodeServiceTest, a_joined_type_and_zone_can_be_used_until_the_last_such_node_is_removed) {
  EXPECT_EQ(desk_.catalogue.get()->find_instance_type("rtx-2x"), nullptr);
  ASSERT_TRUE(join(machine("a")).has_value());
  ASSERT_TRUE(join(machine("b")).has_value());
  EXPECT_TRUE(desk_.catalogue.get()->offers("us-lab-01a", "RTX-2x"));
  ASSERT_TRUE(remove("a").has_value());
  EXPECT_TRUE(desk_.catalogue.get()->offers("us-lab-01a", "RTX-2x"));
  ASSERT_TRUE(remove("b").has_value());
  EXPECT_FALSE(desk_.catalogue.get()->has_zone("US-LAB-01A"));
  EXPECT_TRUE(desk_.catalogue.get()->has_zone("US-EAST-04A")) << "what was there at the start";
}

TEST_F(NodeServiceTest, what_joined_in_an_earlier_run_is_in_the_catalogue_again) {
  ASSERT_TRUE(join(machine("a")).has_value());
  model::CatalogueSlot fresh(test_catalogue());
  NodeService next(store_, clock_, fresh, options());
  EXPECT_FALSE(fresh.get()->has_zone("US-LAB-01A"));
  ASSERT_TRUE(next.refresh_catalogue().has_value());
  EXPECT_TRUE(fresh.get()->offers("US-LAB-01A", "rtx-2x"));
}

TEST_F(NodeServiceTest, a_lost_machine_of_the_driver_may_be_forgotten_but_not_one_that_is_there) {
  model::Node node{.id = "m1",
                   .zone = "US-EAST-04A",
                   .instance_type = "gb200-4x",
                   .gpu_count = 4,
                   .owner_organization = {}};
  ASSERT_TRUE(store_.commit_and_wait({store::create_step(node, clock_.now())}).has_value());
  EXPECT_EQ(remove("m1", true).error().reason, errors::reason_node_not_joined);
  node.schedulable = false;
  ASSERT_TRUE(store_.commit_and_wait({store::update_step(node, 1)}).has_value());
  EXPECT_EQ(get("m1")->node().state(), v1::NODE_STATE_LOST);
  EXPECT_TRUE(remove("m1").has_value());
}

TEST_F(NodeServiceTest, a_node_is_drained_and_taken_back) {
  ASSERT_TRUE(join(machine("a")).has_value());
  const auto drained =
      call(nodes_, &NodeService::drain, desk_.caller, by_id<v1::DrainNodeRequest>("a"));
  EXPECT_EQ(drained->node().state(), v1::NODE_STATE_DRAINED);
  EXPECT_TRUE((*store::get_node(store_, "a"))->value.is_draining);
  const auto resumed =
      call(nodes_, &NodeService::resume, desk_.caller, by_id<v1::ResumeNodeRequest>("a"));
  EXPECT_EQ(resumed->node().state(), v1::NODE_STATE_READY);
  EXPECT_FALSE((*store::get_node(store_, "a"))->value.is_draining);
}

TEST_F(NodeServiceTest, lists_500_nodes_with_their_users) {
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(join(machine("n" + std::to_string(i))).has_value());
  }
  place("n250", "r1", 0);
  const auto listed = call(nodes_, &NodeService::list, desk_.caller, v1::ListNodesRequest{});
  ASSERT_EQ(listed->nodes_size(), 500);
  int used_count = 0;
  for (const v1::Node& node : listed->nodes()) used_count += node.replica_count() > 0 ? 1 : 0;
  EXPECT_EQ(used_count, 1);
}

}  // namespace
}  // namespace staithe::service
