#include "gateway/route_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.h"

namespace staithe::gateway {
namespace {

net::Endpoint at_port(std::uint16_t port) {
  return {.host = "127.0.0.1", .port = port};
}

DeploymentRoute deployment(const std::string& id, std::vector<std::uint16_t> ports) {
  DeploymentRoute route{.id = id, .model = "model-of-" + id};
  for (const std::uint16_t port : ports) {
    route.ready_replicas.push_back({id + "-" + std::to_string(port), at_port(port)});
  }
  return route;
}

std::shared_ptr<const GatewayRoute> gateway(const std::string& id,
                                            std::vector<DeploymentRoute> deployments,
                                            std::vector<std::string> hosts = {}) {
  auto route = std::make_shared<GatewayRoute>();
  route->id = id;
  route->hosts = std::move(hosts);
  route->deployments = std::move(deployments);
  return route;
}

class RouteTables : public ::testing::Test {
 protected:
  // The table that takes the place of the last one.
  const RouteTable& next(const GatewayRoutes& gateways) {
    former_ = std::move(current_);
    current_ = std::make_unique<RouteTable>(
        gateways,
        RouteParts{
            .loads = loads_, .demands = demands_, .queues = queues_, .metrics = gateway_metrics_},
        former_.get());
    return *current_;
  }

  Metrics metrics_;
  GatewayMetrics gateway_metrics_{metrics_};
  ReplicaLoads loads_;
  DemandTable demands_;
  QueueTable queues_;
  std::unique_ptr<RouteTable> former_;
  std::unique_ptr<RouteTable> current_;
};

TEST_F(RouteTables, a_gateway_that_did_not_change_is_taken_over_as_it_is) {
  const auto stays = gateway("stays", {deployment("a", {1}), deployment("b", {2})});
  const ServedGateway* const before =
      next({stays, gateway("changes", {deployment("c", {3})})}).find_by_id("stays");
  const RouteTable& table = next({stays, gateway("changes", {deployment("c", {4})})});
  EXPECT_EQ(table.find_by_id("stays"), before);
  EXPECT_EQ(table.deployment_count(), 3u);
  EXPECT_EQ(table.built_deployment_count(), 1u);
  EXPECT_EQ(table.find_deployment("changes", "c")->replicas.at(0).endpoint, at_port(4));
  former_.reset();
  EXPECT_EQ(table.find_by_id("stays")->find_model("model-of-a")->deployments.size(), 1u);
}

TEST_F(RouteTables, what_is_counted_goes_on_through_every_change) {
  next({gateway("g", {deployment("a", {1}), deployment("b", {2})})});
  const ServedDeployment same = *current_->find_deployment("g", "a");
  const ServedDeployment changed = *current_->find_deployment("g", "b");
  const auto turn = current_->find_by_id("g")->find_model("model-of-b")->turn;
  DeploymentRoute heavier = deployment("b", {2, 5});
  heavier.weight = 7;
  heavier.concurrency = 3;
  const RouteTable& table = next({gateway("g", {deployment("a", {1}), heavier})});
  const ServedDeployment* const a = table.find_deployment("g", "a");
  EXPECT_EQ(a->demand, same.demand);
  EXPECT_EQ(a->replicas.at(0).load, same.replicas.at(0).load);
  const ServedDeployment* const b = table.find_deployment("g", "b");
  EXPECT_EQ(b->weight, 7u);
  EXPECT_EQ(b->concurrency, 3u);
  EXPECT_EQ(b->demand, changed.demand);
  EXPECT_EQ(b->queue, changed.queue);
  EXPECT_EQ(b->metrics, changed.metrics);
  ASSERT_EQ(b->replicas.size(), 2u);
  EXPECT_EQ(b->replicas[0].load, changed.replicas.at(0).load);
  EXPECT_EQ(table.find_by_id("g")->find_model("model-of-b")->turn, turn);
}

TEST_F(RouteTables, a_deployment_that_was_disabled_comes_back) {
  DeploymentRoute disabled = deployment("a", {1});
  disabled.is_disabled = true;
  next({gateway("g", {disabled})});
  EXPECT_EQ(current_->find_deployment("g", "a"), nullptr);
  next({gateway("g", {deployment("a", {1})})});
  ASSERT_NE(current_->find_deployment("g", "a"), nullptr);
  next({gateway("g", {disabled})});
  EXPECT_EQ(current_->find_deployment("g", "a"), nullptr);
  EXPECT_EQ(current_->endpoints_gone(), std::vector{at_port(1)});
}

TEST_F(RouteTables, endpoints_that_nobody_has_any_more_are_told) {
  const auto stays = gateway("stays", {deployment("a", {1})});
  next({stays, gateway("g", {deployment("b", {2, 3})}), gateway("h", {deployment("c", {4})})});
  EXPECT_TRUE(current_->endpoints_gone().empty());
  // 2 stays where it is, 3 moves to another gateway, 4 goes with its gateway.
  next({stays, gateway("g", {deployment("b", {2})}), gateway("i", {deployment("d", {3, 5})})});
  EXPECT_EQ(current_->endpoints_gone(), std::vector{at_port(4)});
  next({stays});
  EXPECT_EQ(current_->endpoints_gone(), (std::vector{at_port(2), at_port(3), at_port(5)}));
  next({stays});
  EXPECT_TRUE(current_->endpoints_gone().empty());
}

TEST_F(RouteTables, a_host_name_leads_to_the_first_gateway_that_has_it) {
  const auto first = gateway("first", {}, {"Models.Example.com", "one.example.com"});
  const auto second = gateway("second", {}, {"models.example.com."});
  next({first, second});
  EXPECT_EQ(current_->find_by_host("models.example.com:8443")->id, "first");
  next({gateway("first", {}, {"one.example.com"}), second});
  EXPECT_EQ(current_->find_by_host("MODELS.example.com")->id, "second");
  EXPECT_EQ(current_->find_by_host("one.example.com")->id, "first");
  next({second});
  EXPECT_EQ(current_->find_by_host("one.example.com"), nullptr);
}

}  // namespace
}  // namespace staithe::gateway
