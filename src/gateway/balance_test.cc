#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/choose.h"
#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

std::string ok(const Message&) {
  return answer_with("{}");
}

TEST(Balance, L01_requests_that_fail_in_every_way_leave_no_count_behind) {
  Options options;
  options.upstream.first_byte = std::chrono::seconds(2);
  GatewayWorld world(options);
  FakeEngine& engine = world.add_engine();
  for (int i = 0; i < 50; ++i) {
    RawPeer client = world.connect();
    world.send(client, chat());
    const std::size_t index = engine.connection_count();
    std::optional<Message> request;
    ASSERT_TRUE(world.until([&] {
      // The connection may be a pooled one, left by an answer of the first kind.
      for (std::size_t one = 0; one < engine.connection_count() && !request; ++one) {
        request = engine.request(one);
      }
      return request.has_value();
    }));
    std::size_t at = engine.connection_count() - 1;
    if (at + 1 == index) at = index - 1;
    RawPeer& peer = engine.peer(at);
    peer.forget_received();
    switch (i % 5) {
      case 0:
        peer.send(answer_with("{}", "500 Internal Server Error"));
        break;
      case 1:
        peer.close_with_reset();
        break;
      case 2:
        peer.send("not http at all\r\n\r\n");
        break;
      case 3:
        peer.send(std::string(stream_head) + chunk("data: 1\n\n"));
        world.settle();
        peer.close();
        break;
      case 4:
        world.advance(std::chrono::seconds(3));
        break;
    }
    world.answer(client);
    ASSERT_EQ(world.in_flight(), 0u) << "round " << i;
  }
}

TEST(Balance, L03_requests_at_once_are_counted_when_they_are_placed) {
  GatewayWorld world;
  std::vector<FakeEngine*> engines;
  for (int i = 0; i < 4; ++i) engines.push_back(&world.add_engine());
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<RawPeer>(world.connect()));
    clients.back()->send(chat());
  }
  // No engine has answered yet.
  ASSERT_TRUE(world.until([&] {
    std::size_t count = 0;
    for (const FakeEngine* engine : engines) count += engine->connection_count();
    return count == 8;
  }));
  for (const FakeEngine* engine : engines) EXPECT_EQ(engine->connection_count(), 2u);
}

TEST(Balance, L04_one_request_at_a_time_does_not_always_meet_the_same_replica) {
  GatewayWorld world;
  std::vector<FakeEngine*> engines;
  for (int i = 0; i < 4; ++i) {
    engines.push_back(&world.add_engine());
    engines.back()->script = ok;
  }
  for (int i = 0; i < 200; ++i) ASSERT_EQ(world.ask(chat()).status(), 200);
  for (const FakeEngine* engine : engines) {
    EXPECT_GT(engine->request_count(), 25u);
    EXPECT_LT(engine->request_count(), 80u);
  }
}

TEST(Balance, L09_every_kind_of_request_is_placed) {
  GatewayWorld world;
  world.add_engine().script = ok;
  world.add_engine().script = ok;
  for (const auto path : {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                          "/v1/responses", "/v1/audio/speech", "/v1/unknown"}) {
    EXPECT_EQ(world.ask(post(path, R"({"model":"model-a"})")).status(), 200) << path;
  }
}

TEST(Balance, P13_a_replica_that_left_meanwhile_gets_no_request_that_had_begun_before) {
  GatewayWorld world;
  FakeEngine& old_engine = world.add_engine();
  old_engine.script = ok;
  RawPeer client = world.connect();
  const std::string request = chat();
  const std::size_t body_at = request.find("\r\n\r\n") + 4;
  world.send(client, std::string_view(request).substr(0, body_at));
  world.settle();
  world.route.deployments.clear();
  FakeEngine& new_engine = world.add_engine();
  new_engine.script = ok;
  // As far as anybody can tell the old one is idle for good, so it may be stopped.
  ASSERT_EQ(world.in_flight("dep-a-1"), 0u);
  world.send(client, std::string_view(request).substr(body_at));
  EXPECT_EQ(world.answer(client).status(), 200);
  EXPECT_EQ(old_engine.request_count(), 0u);
  EXPECT_EQ(new_engine.request_count(), 1u);
}

TEST(Balance, a_request_whose_gateway_or_model_went_while_it_came_in_is_told) {
  GatewayWorld world;
  world.add_engine().script = ok;
  for (const bool is_gateway_left : {true, false}) {
    world.deployment("dep-a").model = "model-a";
    world.route.id = "gw";
    world.publish();
    RawPeer client = world.connect();
    const std::string request = chat();
    const std::size_t body_at = request.find("\r\n\r\n") + 4;
    world.send(client, std::string_view(request).substr(0, body_at + 1));
    world.settle();
    if (is_gateway_left) {
      world.deployment("dep-a").model = "another";
    } else {
      world.route.id = "another";
    }
    world.publish();
    world.send(client, std::string_view(request).substr(body_at + 1));
    EXPECT_EQ(world.answer(client).status(), 404);
  }
}

TEST(Balance, T01_deployments_of_one_model_share_its_requests_by_weight) {
  GatewayWorld world;
  world.add_engine("dep-a", "model-a", 90).script = ok;
  world.add_engine("dep-b", "model-a", 10).script = ok;
  RawPeer client = world.connect();
  for (int i = 0; i < 1000; ++i) {
    world.send(client, chat());
    const Message answer = world.answer(client);
    ASSERT_EQ(answer.status(), 200);
    client.forget_received();
  }
  EXPECT_NEAR(static_cast<double>(world.requests("2xx", "dep-a")), 900, 20);
  EXPECT_NEAR(static_cast<double>(world.requests("2xx", "dep-b")), 100, 20);
}

TEST(Balance, T02_a_weight_of_0_gets_nothing_beside_a_positive_one) {
  GatewayWorld world;
  FakeEngine& all = world.add_engine("dep-a", "model-a", 100);
  FakeEngine& none = world.add_engine("dep-b", "model-a", 0);
  all.script = none.script = ok;
  for (int i = 0; i < 100; ++i) ASSERT_EQ(world.ask(chat()).status(), 200);
  EXPECT_EQ(none.request_count(), 0u);
}

TEST(Balance, T05_a_deployment_that_joins_disturbs_nobody) {
  GatewayWorld world;
  FakeEngine& one = world.add_engine("dep-a", "model-a", 50);
  FakeEngine& two = world.add_engine("dep-b", "model-a", 50);
  one.script = two.script = ok;
  RawPeer client = world.connect();
  FakeEngine* third = nullptr;
  for (int i = 0; i < 300; ++i) {
    if (i == 100) {
      third = &world.add_engine("dep-c", "model-c", 100);
      third->script = ok;
    }
    world.send(client, chat());
    ASSERT_EQ(world.answer(client).status(), 200);
    client.forget_received();
  }
  EXPECT_EQ(third->request_count(), 0u);
  EXPECT_NEAR(static_cast<double>(one.request_count()), 150, 6);
}

// --- The choices themselves ----------------------------------------------------------------------

class Choose : public ::testing::Test {
 protected:
  struct Share {
    std::string id;
    std::uint32_t weight = 0;
    int replica_count = 1;
  };
  const ServedModel& model_of(const std::vector<Share>& shares) {
    GatewayRoute route{.id = "gw"};
    for (const Share& share : shares) {
      DeploymentRoute deployment{.id = share.id, .model = "m", .weight = share.weight};
      for (int i = 0; i < share.replica_count; ++i) {
        deployment.ready_replicas.push_back(
            {fmt::format("{}-{}", share.id, i), {.host = "127.0.0.1", .port = 1}});
      }
      route.deployments.push_back(std::move(deployment));
    }
    const RouteParts parts{
        .loads = loads_, .demands = demands_, .queues = queues_, .metrics = gateway_metrics_};
    table_ = std::make_unique<RouteTable>(
        GatewayRoutes{std::make_shared<const GatewayRoute>(std::move(route))}, parts, table_.get());
    return *table_->find_by_id("gw")->find_model("m");
  }
  std::map<std::string, int> picks(const ServedModel& model, int count) {
    std::map<std::string, int> counts;
    for (int i = 0; i < count; ++i) {
      const ServedDeployment* chosen = choose_deployment(model, Instant{});
      ++counts[chosen == nullptr ? "none" : chosen->id];
    }
    return counts;
  }
  using Counts = std::map<std::string, int>;

  Metrics metrics_;
  GatewayMetrics gateway_metrics_{metrics_};
  ReplicaLoads loads_;
  DemandTable demands_;
  QueueTable queues_;
  SeededRandom random_{1};
  std::unique_ptr<RouteTable> table_;
};

TEST_F(Choose, one_candidate_takes_all_whatever_its_weight) {
  EXPECT_EQ(picks(model_of({{"a", 0}}), 10), (Counts{{"a", 10}}));
}

TEST_F(Choose, all_weights_0_are_equal_shares) {
  const Counts counts = picks(model_of({{"a", 0}, {"b", 0}, {"c", 0}}), 300);
  for (const auto id : {"a", "b", "c"}) EXPECT_NEAR(counts.at(id), 100, 3);
}

TEST_F(Choose, shares_are_within_2_percent_over_1000_requests) {
  const Counts counts = picks(model_of({{"a", 1}, {"b", 2}, {"c", 7}}), 1000);
  EXPECT_NEAR(counts.at("a"), 100, 20);
  EXPECT_NEAR(counts.at("b"), 200, 20);
  EXPECT_NEAR(counts.at("c"), 700, 20);
}

TEST_F(Choose, shares_go_on_where_they_were_when_the_table_is_built_anew) {
  Counts counts;
  for (int i = 0; i < 100; ++i)
    ++counts[choose_deployment(model_of({{"a", 1}, {"b", 1}}), Instant{})->id];
  EXPECT_NEAR(counts.at("a"), 50, 3);
}

TEST_F(Choose, the_share_of_one_without_replicas_goes_to_the_others_in_proportion) {
  const Counts counts = picks(model_of({{"a", 50, 0}, {"b", 10}, {"c", 30}}), 400);
  EXPECT_NEAR(counts.at("b"), 100, 5);
  EXPECT_NEAR(counts.at("c"), 300, 5);
}

TEST_F(Choose, deployments_of_weight_0_serve_when_only_they_are_ready) {
  const Counts counts = picks(model_of({{"a", 50, 0}, {"b", 0}, {"c", 0}}), 100);
  EXPECT_NEAR(counts.at("b"), 50, 3);
}

TEST_F(Choose, nobody_is_chosen_when_nobody_is_ready) {
  EXPECT_EQ(picks(model_of({{"a", 50, 0}}), 1), (Counts{{"none", 1}}));
}

TEST_F(Choose, a_count_ends_with_its_guard_wherever_that_was_moved) {
  Gauge gauge;
  const auto load = loads_.at("r", {.host = "127.0.0.1", .port = 1}, nullptr);
  {
    InFlight one(load, gauge);
    InFlight two(std::move(one));
    InFlight three;
    three = std::move(two);
    EXPECT_EQ(loads_.in_flight("r"), 1u);
    three = InFlight(load, gauge);
    EXPECT_EQ(loads_.in_flight("r"), 1u);
    three.release();
    three.release();
    EXPECT_EQ(loads_.in_flight("r"), 0u);
  }
  EXPECT_EQ(gauge.value(), 0);
  EXPECT_EQ(loads_.in_flight("unknown"), 0u);
}

TEST_F(Choose, a_replica_under_a_new_address_is_trusted_again) {
  const Instant now{std::chrono::seconds(100)};
  const auto load = loads_.at("r", {.host = "127.0.0.1", .port = 1}, nullptr);
  load->avoid_until(now + std::chrono::seconds(1));
  EXPECT_TRUE(loads_.at("r", {.host = "127.0.0.1", .port = 1}, nullptr)->is_avoided(now));
  EXPECT_FALSE(loads_.at("r", {.host = "127.0.0.1", .port = 2}, nullptr)->is_avoided(now));
}

}  // namespace
}  // namespace staithe::gateway
