#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

TEST(Access, A01_no_bad_or_expired_token_is_401_with_a_challenge) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  world.tokens().replace(std::make_shared<const auth::TokenSnapshot>(
      std::vector<auth::Token>{{.id = "t1",
                                .hash = auth::hash_token(key),
                                .organization = "org001",
                                .expires_at = world.clock().now() + std::chrono::hours(1)}}));
  const std::string body = R"({"model":"model-a"})";
  world.advance(std::chrono::hours(2));
  for (const std::string_view token : {std::string_view{}, std::string_view{"wrong"}, key}) {
    const Message answer = world.ask(post("/v1/completions", body, "", token));
    EXPECT_EQ(answer.status(), 401) << token;
    EXPECT_EQ(answer.header("www-authenticate"), "Bearer");
    EXPECT_NE(answer.body.find("\"code\":\"invalid_api_key\""), std::string::npos);
  }
  EXPECT_EQ(engine.connection_count(), 0u);
}

TEST(Access, A01_a_token_of_another_organization_is_403) {
  GatewayWorld world;
  world.add_engine();
  const Message answer = world.ask(post("/v1/completions", "{}", "", foreign_key));
  EXPECT_EQ(answer.status(), 403);
  EXPECT_FALSE(answer.has("www-authenticate"));
}

TEST(Access, A01_a_gateway_whose_keys_cannot_be_verified_takes_none) {
  GatewayWorld world;
  world.route.auth = AuthKind::weights_and_biases;
  world.add_engine();
  const Message answer = world.ask(chat());
  EXPECT_EQ(answer.status(), 401);
  EXPECT_NE(answer.body.find("Weights & Biases"), std::string::npos);
}

TEST(Access, only_addresses_of_the_gateways_ranges_may_reach_it) {
  GatewayWorld world;
  world.add_engine().script = [](const Message&) { return answer_with("{}"); };
  world.route.sources = {*IpRange::parse("10.0.0.0/8"), *IpRange::parse("::/0")};
  world.publish();
  const Message refused = world.ask(chat());
  EXPECT_EQ(refused.status(), 403);
  EXPECT_NE(refused.body.find("address"), std::string::npos);
  EXPECT_EQ(world.ask(get("/health")).status(), 403);
  EXPECT_EQ(world.ask(post("/v1/chat/completions", "{}", "X-Forwarded-For: 10.0.0.1\r\n")).status(),
            403)
      << "what a client says of itself does not count";
  world.route.sources.push_back(*IpRange::parse("127.0.0.0/8"));
  world.publish();
  EXPECT_EQ(world.ask(chat()).status(), 200);
}

TEST(Access, A02_a_gateways_health_needs_no_token) {
  GatewayWorld world;
  world.publish();
  EXPECT_EQ(world.ask(get("/health", "", "")).status(), 200);
  EXPECT_EQ(world.ask(request_text("GET", "/gateways/other/health", "", "", "")).status(), 404);
}

TEST(Access, A07_a_deployment_serves_an_existing_token_as_soon_as_it_is_ready) {
  GatewayWorld world;
  world.publish();
  EXPECT_EQ(world.ask(chat()).status(), 404);
  world.add_engine().script = [](const Message&) { return answer_with("{}"); };
  EXPECT_EQ(world.ask(chat()).status(), 200);
}

TEST(Access, A08_keys_and_prompts_are_not_logged) {
  GatewayWorld world({.is_access_logged = true});
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, post(fmt::format("/v1/completions?key={}", key),
                          R"({"model":"model-a","prompt":"my-secret-prompt"})"));
  world.at_engine(engine);
  engine.peer(0).close_with_reset();
  EXPECT_EQ(world.answer(client).status(), 502);
  const std::string log = world.logged();
  EXPECT_NE(log.find("\"event\":\"request\""), std::string::npos);
  EXPECT_EQ(log.find(key), std::string::npos);
  EXPECT_EQ(log.find("my-secret-prompt"), std::string::npos);
}

TEST(Access, M01_10000_made_up_names_make_no_series) {
  GatewayWorld world;
  world.add_engine();
  world.ask(chat("unknown"));
  world.ask(request_text("GET", "/gateways/unknown/v1/models", ""));
  const auto line_count = [&] {
    const std::string all = world.metrics();
    return std::count(all.begin(), all.end(), '\n');
  };
  const auto before = line_count();
  RawPeer client = world.connect();
  const auto ask = [&](const std::string& request) {
    if (client.is_gone()) client = world.connect();
    client.forget_received();
    world.send(client, request);
    EXPECT_EQ(world.answer(client).status(), 404);
  };
  for (int i = 0; i < 10'000; ++i) {
    const std::string name = fmt::format("made-up-{}", i);
    const std::string header = fmt::format("X-Session-Id: {0}\r\nX-{0}: {0}\r\n", name);
    if (i % 3 == 0) {
      ask(post("/v1/chat/completions", fmt::format(R"({{"model":"{}"}})", name),
               "Content-Type: application/json\r\n" + header));
    } else if (i % 3 == 1) {
      ask(request_text("GET", fmt::format("/gateways/{}/v1/x", name), "", header));
    } else {
      ask(get("/" + name, header));
    }
  }
  EXPECT_EQ(line_count(), before);
}

}  // namespace
}  // namespace staithe::gateway
