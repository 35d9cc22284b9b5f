#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "gateway/testing/gateway_world.h"
#include "net/http2_test_kit.h"

namespace staithe::gateway {
namespace {

using namespace testing;
using net::testing::BasicHttp2Peer;

enum class Transport { http1, http2 };

// Engines behind a gateway that is asked over either protocol.
class PrefixRouting : public ::testing::TestWithParam<Transport> {
 protected:
  void serve(std::size_t count, const Options& options = {}) {
    world.emplace(options);
    for (std::size_t i = 0; i < count; ++i) {
      engines.push_back(&world->add_engine());
      engines.back()->script = [this](const Message& request) {
        seen = request;
        return answer_with("{}", "200 OK",
                           "Content-Type: application/json\r\nstaithe-routing: x\r\n");
      };
    }
  }
  struct Reply {
    std::string status;
    std::string routing;
  };
  Reply post_to(const std::string& path, const std::string& body, net::testing::Fields more = {}) {
    more.emplace_back("content-type", "application/json");
    if (GetParam() == Transport::http1) {
      std::string headers;
      for (const auto& [name, value] : more) headers += name + ": " + value + "\r\n";
      const Message answer = world->ask(post(path, body, headers));
      return {std::to_string(answer.status()), answer.header("staithe-routing")};
    }
    more.emplace_back("authorization", "Bearer " + std::string(key));
    BasicHttp2Peer<RawPeer> client(world->connect());
    const auto id = client.request("POST", "/gateways/gw" + path, body, more);
    CHECK(world->until([&] {
      client.poll();
      return client.answer(id).is_ended;
    }));
    return {client.answer(id).status(), client.answer(id).field("staithe-routing")};
  }
  // Which engine took the request.
  std::size_t placed(const std::string& content, const net::testing::Fields& more = {}) {
    std::vector<std::size_t> before;
    for (const FakeEngine* engine : engines) before.push_back(engine->request_count());
    const std::string body =
        R"({"model":"model-a","messages":[{"role":"user","content":")" + content + R"("}]})";
    EXPECT_EQ(post_to("/v1/chat/completions", body, more).status, "200");
    for (std::size_t i = 0; i < engines.size(); ++i) {
      if (engines[i]->request_count() > before[i]) return i;
    }
    ADD_FAILURE() << "no engine took it";
    return 0;
  }

  std::optional<GatewayWorld> world;
  std::vector<FakeEngine*> engines;
  Message seen;
};

INSTANTIATE_TEST_SUITE_P(Both, PrefixRouting, ::testing::Values(Transport::http1, Transport::http2),
                         [](const auto& one) {
                           return one.param == Transport::http1 ? "http1" : "http2";
                         });

TEST_P(PrefixRouting, prompts_that_begin_alike_go_to_one_replica_and_others_are_spread) {
  serve(4);
  const std::string system(20'000, 's');
  const std::size_t first = placed(system + "0");
  for (int i = 1; i < 12; ++i) EXPECT_EQ(placed(system + std::to_string(i)), first);
  std::set<std::size_t> others;
  for (int i = 0; i < 24; ++i) others.insert(placed(std::to_string(i) + std::string(20'000, 'o')));
  EXPECT_EQ(others.size(), 4u);
}

TEST_P(PrefixRouting, without_affinity_prompts_that_begin_alike_are_spread_too) {
  serve(4, {.has_prefix_affinity = false});
  std::set<std::size_t> used;
  for (int i = 0; i < 40; ++i) used.insert(placed(std::string(20'000, 's')));
  EXPECT_EQ(used.size(), 4u);
}

TEST_P(PrefixRouting, a_choice_is_explained_to_those_who_ask) {
  serve(2);
  const std::string body = R"({"model":"model-a","prompt":")" + std::string(5'000, 'p') + R"("})";
  EXPECT_EQ(post_to("/v1/completions", body).routing, "") << "nor is the engine's passed on";
  const Reply told = post_to("/v1/completions", body, {{"staithe-routing", "explain"}});
  EXPECT_TRUE(told.routing.starts_with("replica=dep-a-")) << told.routing;
  EXPECT_NE(
      told.routing.find("; reason=prefix; prompt_bytes=5002; cached_bytes=4096; in_flight=0;"),
      std::string::npos)
      << told.routing;
  EXPECT_FALSE(seen.has("staithe-routing")) << "that is between the client and us";
}

TEST_P(PrefixRouting, L09_requests_without_a_prompt_are_placed_by_load) {
  serve(2);
  for (const auto path : {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                          "/v1/responses", "/v1/audio/speech", "/v1/unknown"}) {
    const Reply reply = post_to(path, R"({"model":"model-a"})", {{"staithe-routing", "explain"}});
    EXPECT_EQ(reply.status, "200") << path;
    EXPECT_NE(reply.routing.find("reason=load; prompt_bytes=0"), std::string::npos) << path;
  }
}

TEST_P(PrefixRouting, L10_a_choice_by_our_own_counts_alone_shows_in_a_metric) {
  serve(2);
  for (int i = 0; i < 3; ++i) placed("short");
  EXPECT_EQ(world->metric("staithe_gateway_replica_choices_without_engine_metrics_total"), 3);
  EXPECT_EQ(world->metric("staithe_gateway_replica_choices_total", "dep-a", "reason=\"load\""), 3);
}

TEST_P(PrefixRouting, L11_a_session_stays_with_its_replica_and_moves_once_when_that_is_gone) {
  serve(4);
  const net::testing::Fields session = {{"x-session-id", "session-1"}};
  const std::size_t first = placed("0", session);
  for (int i = 1; i < 20; ++i) EXPECT_EQ(placed(std::to_string(i), session), first);
  auto& replicas = world->deployment("dep-a").ready_replicas;
  replicas.erase(replicas.begin() + static_cast<std::ptrdiff_t>(first));
  world->publish();
  const std::size_t second = placed("20", session);
  EXPECT_NE(second, first);
  for (int i = 21; i < 40; ++i) EXPECT_EQ(placed(std::to_string(i), session), second);
}

TEST_P(PrefixRouting, sessions_are_spread) {
  serve(4);
  std::set<std::size_t> used;
  for (int i = 0; i < 40; ++i) {
    used.insert(placed("x", {{"x-session-id", "session-" + std::to_string(i)}}));
  }
  EXPECT_EQ(used.size(), 4u);
}

}  // namespace
}  // namespace staithe::gateway
