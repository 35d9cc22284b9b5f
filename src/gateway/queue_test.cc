#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "auth/token.h"
#include "gateway/testing/call.h"

namespace staithe::gateway {
namespace {

using namespace testing;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view other_key = "another-key-of-org001";

class Queue : public ::testing::TestWithParam<Transport> {
 protected:
  // Replicas of dep-a that take `concurrency` requests each.
  void serve(std::size_t count, std::uint32_t concurrency, const QueueOptions& queue = {}) {
    Options options;
    options.queue = queue;
    world.emplace(options);
    world->deployment("dep-a").concurrency = concurrency;
    for (std::size_t i = 0; i < count; ++i) engines.push_back(&world->add_engine());
    world->tokens().replace(std::make_shared<const auth::TokenSnapshot>(std::vector<auth::Token>{
        {.id = "t1", .hash = auth::hash_token(key), .organization = "org001"},
        {.id = "t2", .hash = auth::hash_token(other_key), .organization = "org001"}}));
  }
  Call& call(std::string_view name = "x", std::string_view authorization = key) {
    Call::Request request{.authorization = std::string(authorization)};
    request.body = fmt::format(R"({{"model":"model-a","user":"{}"}})", name);
    return call(std::move(request));
  }
  Call& call(Call::Request request) {
    Call& made =
        *calls.emplace_back(std::make_unique<Call>(*world, GetParam(), std::move(request)));
    world->settle();
    made.poll();
    world->settle();
    return made;
  }
  long queued() { return world->metric("staithe_gateway_queued_requests"); }
  // How many requests have reached an engine and are not answered yet.
  std::size_t at_engines() {
    std::size_t count = 0;
    for (FakeEngine* engine : engines) {
      for (std::size_t i = 0; i < engine->connection_count(); ++i) {
        count += engine->request(i).has_value() ? 1 : 0;
      }
    }
    return count;
  }
  // Answers the request on the first connection that has one; the "user" it had.
  std::string answer_next(FakeEngine& engine) {
    std::string user;
    CHECK(world->until([&] {
      for (std::size_t i = 0; i < engine.connection_count(); ++i) {
        const auto request = engine.request(i);
        if (!request) continue;
        const auto at = request->body.find("\"user\":\"") + 8;
        user = request->body.substr(at, request->body.find('"', at) - at);
        engine.peer(i).forget_received();
        engine.peer(i).send(answer_with("{}"));
        return true;
      }
      return false;
    }));
    world->settle();
    return user;
  }

  std::optional<GatewayWorld> world;
  std::vector<FakeEngine*> engines;
  std::vector<std::unique_ptr<Call>> calls;
};

INSTANTIATE_TEST_SUITE_P(Both, Queue, ::testing::Values(Transport::http1, Transport::http2),
                         transport_name);

TEST_P(Queue, a_request_waits_while_every_replica_is_full_and_goes_when_one_is_not) {
  serve(1, 2);
  for (const auto name : {"1", "2", "3"}) call(name);
  EXPECT_EQ(world->in_flight(), 2u);
  EXPECT_EQ(at_engines(), 2u);
  EXPECT_EQ(queued(), 1);
  EXPECT_EQ(answer_next(*engines[0]), "1");
  EXPECT_EQ(calls[0]->answer().status, 200);
  EXPECT_EQ(world->in_flight(), 2u);
  EXPECT_EQ(queued(), 0);
  answer_next(*engines[0]);
  answer_next(*engines[0]);
  EXPECT_EQ(calls[2]->answer().status, 200);
  EXPECT_EQ(world->in_flight(), 0u);
}

TEST_P(Queue, without_a_concurrency_nobody_waits) {
  serve(1, 0);
  for (int i = 0; i < 40; ++i) call();
  EXPECT_EQ(world->in_flight(), 40u);
  EXPECT_EQ(queued(), 0);
}

TEST_P(Queue, R10_of_four_replicas_the_one_with_room_is_used_and_429_only_when_all_are_full) {
  serve(4, 1, {.length_max = 0});
  for (int i = 0; i < 3; ++i) call();
  std::set<FakeEngine*> full;
  for (FakeEngine* engine : engines) {
    if (engine->request(0)) full.insert(engine);
  }
  EXPECT_EQ(full.size(), 3u);
  call();
  EXPECT_EQ(at_engines(), 4u);
  for (FakeEngine* engine : engines) EXPECT_TRUE(engine->request(0));
  EXPECT_EQ(call().answer().status, 429);
  answer_next(*engines[2]);
  call();
  EXPECT_EQ(at_engines(), 4u);
}

TEST_P(Queue, R10_a_prompt_does_not_wait_for_the_full_replica_that_has_read_it) {
  serve(2, 1);
  const Call::Request request{.body = R"({"model":"model-a","prompt":")" +
                                      std::string(20'000, 'p') + "\"}"};
  call(request);
  FakeEngine& first = engines[0]->request(0) ? *engines[0] : *engines[1];
  answer_next(first);
  call(request);
  ASSERT_TRUE(first.request(0)) << "its prefix is there";
  call(request);
  EXPECT_EQ(at_engines(), 2u);
  EXPECT_EQ(queued(), 0);
}

TEST_P(Queue, R17_a_full_queue_answers_429_and_when_to_come_again) {
  serve(1, 1, {.length_max = 2});
  for (int i = 0; i < 3; ++i) call();
  const auto answer = call().answer();
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.header("retry-after"), "5");
  EXPECT_NE(answer.body.find("\"code\":\"queue_full\""), std::string::npos) << answer.body;
  EXPECT_EQ(world->metric("staithe_gateway_queue_refusals_total", "dep-a", "reason=\"full\""), 1);
  EXPECT_EQ(world->requests("4xx"), 1);
}

TEST_P(Queue, R17_a_request_that_has_waited_long_enough_is_answered_429) {
  serve(1, 1, {.wait_max = seconds(7)});
  call();
  Call& waiting = call();
  world->advance(milliseconds(6'900));
  EXPECT_EQ(waiting.so_far().status, 0);
  world->advance(milliseconds(200));
  const auto answer = waiting.answer();
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.header("retry-after"), "5");
  EXPECT_NE(answer.body.find("\"code\":\"queue_timeout\""), std::string::npos) << answer.body;
  EXPECT_EQ(world->metric("staithe_gateway_queue_refusals_total", "dep-a", "reason=\"timeout\""),
            1);
  EXPECT_EQ(queued(), 0);
  answer_next(*engines[0]);
  EXPECT_EQ(at_engines(), 0u) << "it never reached the engine";
}

TEST_P(Queue, C08_a_client_that_leaves_the_queue_never_reaches_an_engine) {
  serve(1, 1);
  call("served");
  Call& leaving = call("leaving");
  call("staying");
  ASSERT_EQ(queued(), 2);
  leaving.hang_up();
  ASSERT_TRUE(world->until([&] { return queued() == 1; }));
  EXPECT_EQ(answer_next(*engines[0]), "served");
  EXPECT_EQ(answer_next(*engines[0]), "staying");
  EXPECT_EQ(at_engines(), 0u);
  EXPECT_EQ(world->in_flight(), 0u);
  EXPECT_EQ(world->requests("client_gone"), 1);
}

TEST_P(Queue, callers_take_turns_and_each_keeps_its_order) {
  serve(1, 1);
  call("first");
  for (int i = 1; i <= 4; ++i) call(fmt::format("many-{}", i));
  for (int i = 1; i <= 2; ++i) call(fmt::format("few-{}", i), other_key);
  std::vector<std::string> order;
  for (int i = 0; i < 7; ++i) order.push_back(answer_next(*engines[0]));
  EXPECT_EQ(order, (std::vector<std::string>{"first", "many-1", "few-1", "many-2", "few-2",
                                             "many-3", "many-4"}));
}

TEST_P(Queue, a_caller_that_fills_the_queue_does_not_keep_others_out) {
  serve(1, 1, {.length_max = 3});
  for (int i = 1; i <= 4; ++i) call(fmt::format("many-{}", i));
  call("few-1", other_key);
  EXPECT_EQ(calls[3]->answer().status, 429) << "the last of the many gave way";
  EXPECT_EQ(queued(), 3);
  EXPECT_EQ(answer_next(*engines[0]), "many-1");
  EXPECT_EQ(answer_next(*engines[0]), "many-2");
  EXPECT_EQ(answer_next(*engines[0]), "few-1");
}

TEST_P(Queue, newcomers_do_not_overtake_who_waits) {
  serve(2, 1);
  for (const auto name : {"1", "2", "3"}) call(name);
  RawPeer newcomer = world->connect();
  world->settle();
  FakeEngine& engine = *engines[0];
  ASSERT_TRUE(engine.request(0));
  // Read in one turn and in this order: the slot is free before the one who waits can take it.
  engine.peer(0).send(answer_with("{}"));
  engine.peer(0).forget_received();
  newcomer.send(chat());
  EXPECT_EQ(answer_next(engine), "3");
}

TEST_P(Queue, a_new_replica_takes_who_waits) {
  serve(1, 1);
  for (int i = 0; i < 4; ++i) call();
  ASSERT_EQ(queued(), 3);
  world->deployment("dep-a").concurrency = 1;
  engines.push_back(&world->add_engine());
  EXPECT_TRUE(world->until([&] { return at_engines() == 2; }));
  world->deployment("dep-a").concurrency = 2;
  world->publish();
  EXPECT_TRUE(world->until([&] { return at_engines() == 4; }));
  EXPECT_EQ(queued(), 0);
}

TEST_P(Queue, who_waits_for_a_deployment_that_goes_is_answered) {
  serve(1, 1);
  call();
  Call& waiting = call();
  const auto replicas = std::exchange(world->deployment("dep-a").ready_replicas, {});
  world->publish();
  EXPECT_EQ(waiting.answer().status, 503);
  EXPECT_EQ(waiting.so_far().header("retry-after"), "5");

  world->deployment("dep-a").ready_replicas = replicas;
  world->publish();
  Call& second = call();
  ASSERT_EQ(queued(), 1);
  world->route.deployments.clear();
  world->publish();
  EXPECT_EQ(second.answer().status, 404);
  EXPECT_EQ(queued(), 0);
}

TEST_P(Queue, who_waits_for_a_deployment_that_goes_is_served_by_another_of_the_model) {
  serve(1, 1);
  engines.push_back(&world->add_engine("dep-b"));
  world->deployment("dep-b").concurrency = 1;
  world->publish();
  call("1");
  call("2");
  Call& waiting = call("3");
  const std::string kept =
      world->metric("staithe_gateway_queued_requests") == 1 ? "dep-b" : "dep-a";
  world->deployment(kept == "dep-b" ? "dep-a" : "dep-b").ready_replicas.clear();
  world->publish();
  EXPECT_EQ(world->metric("staithe_gateway_queued_requests", kept), 1);
  answer_next(*engines[kept == "dep-a" ? 0 : 1]);
  answer_next(*engines[kept == "dep-a" ? 0 : 1]);
  EXPECT_EQ(waiting.answer().status, 200);
}

TEST_P(Queue, T04_while_one_of_two_weighted_deployments_is_full_the_other_serves) {
  serve(1, 1, {.length_max = 0});
  world->deployment("dep-a").weight = 99;
  engines.push_back(&world->add_engine("dep-b", "model-a", 1));
  engines.push_back(&world->add_engine("dep-c", "model-a", 0));
  world->deployment("dep-b").concurrency = 3;
  world->publish();
  for (int i = 0; i < 4; ++i) call();
  EXPECT_EQ(world->in_flight("dep-a-1"), 1u);
  EXPECT_EQ(world->in_flight("dep-b-2"), 3u);
  EXPECT_EQ(call().answer().status, 429) << "a weight of 0 takes over nothing";
  EXPECT_EQ(world->in_flight("dep-c-3"), 0u);
}

TEST_P(Queue, who_waits_is_demand) {
  serve(1, 1);
  for (int i = 0; i < 5; ++i) call();
  EXPECT_EQ(world->slot().demands().read("dep-a", world->clock())->highest, 5u);
}

// Bodies that pass through, as they come.
class PassingBodyQueue : public Queue {
 protected:
  void SetUp() override {
    serve(1, 1);
    world->route.routing = Routing::header;
    world->route.header_name = "x-model";
    world->publish();
    first.emplace(*world, GetParam(), Call::Request{.headers = {{"x-model", "model-a"}}});
    world->at_engine(*engines[0]);
    second.emplace(*world, GetParam(), request);
    EXPECT_TRUE(world->until([&] {
      second->poll();
      return queued() == 1;
    }));
  }
  void end_first() {
    engines[0]->peer(0).forget_received();
    engines[0]->peer(0).send(answer_with("{}"));
    first->answer();
  }

  const Call::Request request{.path = "/v1/audio/transcriptions",
                              .body = std::string(100 * 1024, 'a'),
                              .headers = {{"content-type", "audio/wav"}, {"x-model", "model-a"}},
                              .is_whole = false};
  std::optional<Call> first;
  std::optional<Call> second;
};

INSTANTIATE_TEST_SUITE_P(Both, PassingBodyQueue,
                         ::testing::Values(Transport::http1, Transport::http2), transport_name);

TEST_P(PassingBodyQueue, waits_with_its_client) {
  end_first();
  second->send_last('z');
  ASSERT_TRUE(world->until([&] {
    second->poll();
    return engines[0]->request(0).has_value();
  }));
  EXPECT_EQ(engines[0]->request(0)->body.size(), request.body.size());
  engines[0]->peer(0).send(answer_with("{}"));
  EXPECT_EQ(second->answer().status, 200);
}

TEST_P(PassingBodyQueue, C08_leaves_with_its_client_too) {
  second->hang_up();
  ASSERT_TRUE(world->until([&] {
    second->poll();
    return queued() == 0;
  }));
  end_first();
  world->settle();
  EXPECT_EQ(engines[0]->connection_count(), 1u);
  EXPECT_FALSE(engines[0]->request(0));
}

TEST_P(Queue, a_request_that_could_not_connect_waits_for_another_replica_and_lets_others_pass) {
  serve(2, 1);
  call("1");
  FakeEngine& healthy = engines[0]->request(0) ? *engines[0] : *engines[1];
  FakeEngine& dead = &healthy == engines[0] ? *engines[1] : *engines[0];
  dead.refuse_connections();
  Call& second = call("2");
  ASSERT_TRUE(world->until([&] { return queued() == 1; }));
  EXPECT_EQ(answer_next(healthy), "1");
  EXPECT_EQ(answer_next(healthy), "2");
  EXPECT_EQ(second.answer().status, 200);
}

}  // namespace
}  // namespace staithe::gateway
