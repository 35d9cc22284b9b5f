#include "gateway/limits.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

const std::string completion = R"({"model":"model-a","max_tokens":10})";

// A gateway whose callers are limited.
class Limits : public ::testing::Test {
 protected:
  static Options limited(LimitBook& book) {
    Options options;
    options.limits = &book;
    return options;
  }
  void limit_token(const LimitRule& rule, const std::string& token = "t1") {
    LimitRules rules;
    rules.tokens[{"org001", token}] = rule;
    book.set_rules(std::move(rules));
  }
  int ask_status(std::string_view authorization = key) {
    return world.ask(post("/v1/completions", completion, "", authorization)).status();
  }

  LimitBook book;
  GatewayWorld world{limited(book)};
  FakeEngine& engine = world.add_engine();
};

void answer_at_once(FakeEngine& engine, std::uint64_t tokens = 1) {
  engine.script = [tokens](const Message&) {
    return answer_with(
        fmt::format(R"({{"usage":{{"prompt_tokens":0,"completion_tokens":{}}}}})", tokens));
  };
}

TEST_F(Limits, requests_per_minute_are_refused_with_the_time_when_one_fits_again) {
  answer_at_once(engine);
  limit_token({.requests_per_minute = 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ask_status(), 200);
  const Message refused = world.ask(post("/v1/completions", completion));
  EXPECT_EQ(refused.status(), 429);
  EXPECT_EQ(refused.header("retry-after"), "20");
  EXPECT_NE(refused.body.find(R"("type":"rate_limit_error")"), std::string::npos);
  EXPECT_NE(refused.body.find(R"("code":"rate_limit_exceeded")"), std::string::npos);
  EXPECT_NE(refused.body.find("token has reached its limit of 3 requests per minute"),
            std::string::npos)
      << refused.body;
  world.advance(std::chrono::seconds(20));
  EXPECT_EQ(ask_status(), 200);
  EXPECT_EQ(ask_status(), 429);
  EXPECT_EQ(world.ask(get("/v1/models")).status(), 200) << "what no engine sees is free";
}

TEST_F(Limits, A04_tokens_are_reserved_by_estimate_and_settled_by_usage) {
  limit_token({.tokens_per_minute = 100});
  const std::string sixty = R"({"model":"model-a","max_tokens":60})";
  std::vector<RawPeer> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(world.connect());
    world.send(clients.back(), post("/v1/completions", sixty));
    world.settle();
  }
  EXPECT_EQ(engine.connection_count(), 2u) << "no more than one request goes beyond the limit";
  for (int i = 2; i < 5; ++i) EXPECT_EQ(world.answer(clients[i]).status(), 429);
  answer_at_once(engine, 5);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(world.answer(clients[i]).status(), 200);
  EXPECT_EQ(ask_status(), 200) << "what was not used has been given back";
}

TEST_F(Limits, A05_never_more_in_flight_than_allowed_and_refused_ones_hold_no_slot) {
  limit_token({.parallel_requests = 4});
  for (int round = 0; round < 25; ++round) {
    const std::size_t before = engine.connection_count();
    std::vector<RawPeer> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(world.connect());
      world.send(clients.back(), post("/v1/completions", completion));
      world.settle();
    }
    ASSERT_EQ(world.in_flight(), 4u);
    ASSERT_EQ(engine.connection_count() - before, 4u);
    for (int i = 4; i < 8; ++i) {
      const Message refused = world.answer(clients[static_cast<std::size_t>(i)]);
      EXPECT_EQ(refused.status(), 429);
      EXPECT_EQ(refused.header("retry-after"), "1");
    }
    for (RawPeer& client : clients) client.close();
    ASSERT_TRUE(world.until([&] { return world.in_flight() == 0; }));
    world.advance(std::chrono::seconds(30));
  }
}

TEST_F(Limits, C05_an_aborted_or_timed_out_request_frees_its_slot) {
  limit_token({.parallel_requests = 1});
  for (std::size_t i = 0; i < 100; ++i) {
    RawPeer client = world.connect();
    world.send(client, chat());
    world.at_engine(engine, i);
    if (i % 3 == 0) {
      engine.peer(i).send(std::string(stream_head) + chunk("data: {}\n\n"));
      ASSERT_TRUE(world.until([&] { return client.has_received("data:"); }));
    }
    if (i % 3 == 1) {
      engine.peer(i).close_with_reset();
      EXPECT_EQ(world.answer(client).status(), 502);
    }
    client.close();
    ASSERT_TRUE(world.until([&] { return world.in_flight() == 0; }));
  }
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine, 100);
  engine.peer(100).send(answer_with("{}"));
  EXPECT_EQ(world.answer(client).status(), 200);
}

TEST_F(Limits, C05_so_does_one_that_was_refused_or_left_within_its_body) {
  limit_token({.parallel_requests = 1});
  EXPECT_EQ(world.ask(post("/v1/completions", R"({"model":"other"})")).status(), 404);
  EXPECT_EQ(world.ask(post("/v1/completions", "no json")).status(), 400);
  RawPeer client = world.connect();
  const std::string request = chat();
  world.send(client, request.substr(0, request.size() - 5));
  world.settle();
  client.close();
  world.settle();
  answer_at_once(engine);
  EXPECT_EQ(ask_status(), 200);
}

TEST_F(Limits, T04_a_limit_that_is_met_stops_its_own_scope_and_no_other_target_of_the_model) {
  world.deployment("dep-a").weight = 50;
  FakeEngine& other = world.add_engine("dep-b", "model-a", 50);
  answer_at_once(engine);
  answer_at_once(other);
  world.tokens().replace(std::make_shared<const auth::TokenSnapshot>(std::vector<auth::Token>{
      {.id = "t1", .hash = auth::hash_token(key), .organization = "org001"},
      {.id = "t3", .hash = auth::hash_token("second-key"), .organization = "org001"}}));
  limit_token({.requests_per_minute = 2});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(ask_status(), 200);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(ask_status(), 429);
    EXPECT_EQ(ask_status("second-key"), 200);
  }
  EXPECT_GE(engine.request_count(), 5u);
  EXPECT_GE(other.request_count(), 5u);
}

TEST_F(Limits, an_organizations_limit_is_for_all_its_tokens_together) {
  answer_at_once(engine);
  world.tokens().replace(std::make_shared<const auth::TokenSnapshot>(std::vector<auth::Token>{
      {.id = "t1", .hash = auth::hash_token(key), .organization = "org001"},
      {.id = "t3", .hash = auth::hash_token("second-key"), .organization = "org001"}}));
  LimitRules rules;
  rules.organizations["org001"] = {.requests_per_minute = 2};
  rules.tokens[{"org001", "t1"}] = {.requests_per_minute = 1, .parallel_requests = 1};
  book.set_rules(rules);
  EXPECT_EQ(ask_status(), 200);
  EXPECT_EQ(ask_status("second-key"), 200);
  EXPECT_EQ(ask_status("second-key"), 429);
  // What the organization refuses is not taken from the token.
  world.advance(std::chrono::seconds(60));
  EXPECT_EQ(ask_status("second-key"), 200);
  EXPECT_EQ(ask_status("second-key"), 200);
  EXPECT_EQ(ask_status(), 429);
  rules.organizations.clear();
  book.set_rules(rules);
  EXPECT_EQ(ask_status(), 200);
}

TEST_F(Limits, A06_a_token_may_call_its_models_alone) {
  world.add_engine("dep-b", "model-b");
  answer_at_once(engine);
  limit_token({.models = {"model-a"}});
  EXPECT_EQ(ask_status(), 200);
  const Message refused = world.ask(post("/v1/completions", R"({"model":"model-b"})"));
  EXPECT_EQ(refused.status(), 403);
  EXPECT_NE(refused.body.find("model-b"), std::string::npos);
  world.route.routing = Routing::header;
  world.route.header_name = "x-model";
  world.publish();
  EXPECT_EQ(world.ask(post("/v1/completions", completion, "X-Model: model-b\r\n")).status(), 403);
  EXPECT_EQ(world.ask(post("/v1/completions", completion, "X-Model: model-a\r\n")).status(), 200);
}

TEST_F(Limits, rules_that_change_hold_from_the_next_request_on) {
  answer_at_once(engine);
  EXPECT_EQ(ask_status(), 200);
  LimitRules rules;
  rules.each_token.requests_per_minute = 1;
  book.set_rules(rules);
  EXPECT_EQ(ask_status(), 200);
  EXPECT_EQ(ask_status(), 429);
  book.set_rules({});
  EXPECT_EQ(ask_status(), 200);
}

}  // namespace
}  // namespace staithe::gateway
