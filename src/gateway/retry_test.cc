#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

std::string ok(const Message&) {
  return answer_with("{}");
}

TEST(Retry, R01_answers_4xx_do_not_cost_a_replica_its_place) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  engine.script = [](const Message&) { return answer_with("{}", "400 Bad Request"); };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(world.ask(chat()).status(), 400);
  engine.script = ok;
  EXPECT_EQ(world.ask(chat()).status(), 200);
}

TEST(Retry, R02_an_answer_of_the_engine_is_final_whatever_its_status) {
  GatewayWorld world;
  FakeEngine& one = world.add_engine();
  FakeEngine& two = world.add_engine();
  std::size_t asked = 0;
  for (const auto status : {"400 Bad Request", "401 Unauthorized", "404 Not Found",
                            "422 Unprocessable Content", "500 Internal Server Error"}) {
    one.script = two.script = [&](const Message&) { return answer_with("{}", status); };
    EXPECT_EQ(world.ask(chat()).status(), std::stoi(status));
    EXPECT_EQ(one.request_count() + two.request_count(), ++asked);
  }
}

TEST(Retry, R03_a_request_that_was_delivered_is_never_sent_twice) {
  GatewayWorld world;
  FakeEngine& one = world.add_engine();
  FakeEngine& two = world.add_engine();
  const auto connection_count = [&] { return one.connection_count() + two.connection_count(); };
  for (std::size_t i = 0; i < 10; ++i) {
    const std::size_t count_before = one.connection_count();
    RawPeer client = world.connect();
    world.send(client, chat());
    ASSERT_TRUE(world.until([&] { return connection_count() == i + 1; }));
    FakeEngine& chosen = one.connection_count() > count_before ? one : two;
    const std::size_t index = chosen.connection_count() - 1;
    world.at_engine(chosen, index);
    i % 2 == 0 ? chosen.peer(index).close_with_reset() : chosen.peer(index).close();
    const Message answer = world.answer(client);
    EXPECT_EQ(answer.status(), 502);
    EXPECT_NE(answer.body.find("\"code\":\"bad_gateway\""), std::string::npos);
    world.settle();
    EXPECT_EQ(connection_count(), i + 1);
  }
}

TEST(Retry, R03_nor_is_one_that_ran_out_of_time) {
  Options options;
  options.upstream.first_byte = std::chrono::seconds(30);
  GatewayWorld world(options);
  FakeEngine& one = world.add_engine();
  FakeEngine& two = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, chat());
  ASSERT_TRUE(world.until([&] { return one.request(0) || two.request(0); }));
  world.advance(std::chrono::seconds(31));
  const Message answer = world.answer(client);
  EXPECT_EQ(answer.status(), 504);
  EXPECT_NE(answer.body.find("\"code\":\"timeout\""), std::string::npos);
  EXPECT_EQ(one.connection_count() + two.connection_count(), 1u);
}

TEST(Retry, R04_a_refused_connection_is_tried_once_elsewhere_and_passed_over_for_a_while) {
  GatewayWorld world;
  FakeEngine& dead = world.add_engine();
  FakeEngine& healthy = world.add_engine();
  dead.refuse_connections();
  healthy.script = ok;
  const auto refusals = [&] {
    return world.metric("staithe_gateway_upstream_failures_total", "dep-a",
                        "kind=\"connect_refused\"");
  };
  for (int i = 0; i < 20; ++i) ASSERT_EQ(world.ask(chat()).status(), 200);
  EXPECT_EQ(refusals(), 1);
  EXPECT_EQ(world.metric("staithe_gateway_retries_total"), 1);

  world.advance(std::chrono::seconds(3));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(world.ask(chat()).status(), 200);
  EXPECT_EQ(refusals(), 2) << "after the hold-down it is tried again, once";
}

TEST(Retry, R04_the_last_replica_is_never_passed_over) {
  GatewayWorld world;
  FakeEngine& dead = world.add_engine();
  dead.refuse_connections();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(world.ask(chat()).status(), 502);
  EXPECT_EQ(
      world.metric("staithe_gateway_upstream_failures_total", "dep-a", "kind=\"connect_refused\""),
      3);
  EXPECT_EQ(world.metric("staithe_gateway_retries_total"), 0);
  EXPECT_EQ(world.in_flight(), 0u);
}

TEST(Retry, R06_many_slow_streams_at_once_meet_no_hidden_limit) {
  constexpr std::size_t stream_count = 1500;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur < 4 * stream_count + 100) GTEST_SKIP() << "too few file descriptors here";

  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  engine.script = [](const Message&) { return std::string(stream_head) + chunk("data: 1\n\n"); };
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (std::size_t i = 0; i < stream_count; ++i) {
    clients.push_back(std::make_unique<RawPeer>(world.connect()));
    clients.back()->send(chat());
    if (i % 50 == 49) world.settle();
  }
  EXPECT_TRUE(world.until([&] { return engine.request_count() == stream_count; }));
  EXPECT_EQ(world.in_flight(), stream_count);
  for (std::size_t i = 0; i < stream_count; ++i) engine.peer(i).send(std::string(last_chunk));
  for (const auto& client : clients) EXPECT_TRUE(world.answer(*client).is_whole);
  EXPECT_EQ(world.in_flight(), 0u);
}

TEST(Retry, R08_a_first_token_after_130_seconds_is_waited_for_by_default) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  world.advance(std::chrono::seconds(130));
  engine.peer(0).send(std::string(stream_head) + chunk("data: 1\n\n"));
  ASSERT_TRUE(world.until([&] { return client.has_received("data: 1"); }));
  world.advance(std::chrono::minutes(30));
  engine.peer(0).send(std::string(last_chunk));
  EXPECT_TRUE(world.answer(client).is_whole);
}

TEST(Retry, R08_silence_within_an_answer_can_be_limited_separately) {
  Options options;
  options.upstream.idle = std::chrono::seconds(10);
  GatewayWorld world(options);
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk("data: 1\n\n"));
  ASSERT_TRUE(world.until([&] { return client.has_received("data: 1"); }));
  world.advance(std::chrono::seconds(11));
  const Message answer = world.answer(client);
  EXPECT_TRUE(answer.is_whole);
  EXPECT_NE(answer.body.find("\"code\":\"timeout\""), std::string::npos);
}

TEST(Retry, R09_a_replica_that_answered_503_once_is_used_again) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  engine.script = [](const Message&) { return answer_with("{}", "503 Service Unavailable"); };
  EXPECT_EQ(world.ask(chat()).status(), 503);
  engine.script = ok;
  world.advance(std::chrono::seconds(3));
  EXPECT_EQ(world.ask(chat()).status(), 200);
}

TEST(Retry, R11_a_replica_that_moved_to_another_port_gets_nothing_at_the_old_one) {
  GatewayWorld world;
  FakeEngine& old_engine = world.add_engine();
  old_engine.script = ok;
  EXPECT_EQ(world.ask(chat()).status(), 200);
  FakeEngine& new_engine = world.add_engine("spare", "spare");
  new_engine.script = ok;
  world.deployment("dep-a").ready_replicas[0].endpoint.port = new_engine.port();
  world.publish();
  EXPECT_TRUE(world.until([&] { return old_engine.peer(0).is_gone(); }))
      << "the pooled connection to the old port must be closed";
  for (int i = 0; i < 10; ++i) EXPECT_EQ(world.ask(chat()).status(), 200);
  EXPECT_EQ(old_engine.request_count(), 1u);
  EXPECT_EQ(new_engine.request_count(), 10u);
}

TEST(Retry, R11_a_stream_goes_on_when_its_replica_leaves_the_table) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk("data: 1\n\n"));
  ASSERT_TRUE(world.until([&] { return client.has_received("data: 1"); }));
  world.route.deployments.clear();
  world.publish();
  EXPECT_EQ(world.in_flight(), 1u) << "draining must still see the stream";
  engine.peer(0).send(chunk("data: 2\n\n") + std::string(last_chunk));
  EXPECT_EQ(world.answer(client).body, "data: 1\n\ndata: 2\n\n");
  EXPECT_EQ(world.in_flight(), 0u);
}

TEST(Retry, R14_a_deployment_without_a_ready_replica_is_503_with_retry_after) {
  GatewayWorld world;
  world.deployment("dep-a").model = "model-a";
  world.publish();
  const Message answer = world.ask(chat());
  EXPECT_EQ(answer.status(), 503);
  EXPECT_EQ(answer.header("retry-after"), "5");
  EXPECT_NE(answer.body.find("\"code\":\"model_not_ready\""), std::string::npos);
  world.add_engine().script = ok;
  EXPECT_EQ(world.ask(chat()).status(), 200);
}

TEST(Retry, R16_the_last_table_stays_in_force_while_nobody_publishes) {
  GatewayWorld world;
  world.add_engine().script = ok;
  world.advance(std::chrono::hours(24));
  EXPECT_EQ(world.ask(chat()).status(), 200);
}

TEST(Retry, R17_a_503_of_ours_says_when_to_come_back) {
  GatewayWorld world;
  world.deployment("dep-a").model = "model-a";
  world.publish();
  EXPECT_TRUE(world.ask(chat()).has("retry-after"));
}

TEST(Retry, a_pooled_connection_that_died_costs_the_client_nothing) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  engine.script = ok;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(world.ask(chat()).status(), 200);
    // The engine gives the idle connection up while the next request is on its way to us.
    engine.peer(engine.connection_count() - 1).close();
  }
  EXPECT_EQ(engine.request_count(), 10u);
}

TEST(Retry, connections_to_an_engine_are_kept_and_used_again) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  engine.script = ok;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(world.ask(chat()).status(), 200);
  EXPECT_EQ(engine.connection_count(), 1u);
}

}  // namespace
}  // namespace staithe::gateway
