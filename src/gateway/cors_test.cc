#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gateway/testing/call.h"

namespace staithe::gateway {
namespace {

using namespace testing;

const std::string page = "https://app.example.com";

class GatewayCors : public ::testing::TestWithParam<Transport> {
 protected:
  void serve(std::vector<std::string> origins) {
    Options options;
    options.cors = CorsPolicy(std::move(origins));
    world.emplace(options);
    engine = &world->add_engine();
    engine->script = [](const Message&) { return answer_with("{}"); };
  }
  Call::Answer ask(const std::string& origin, Call::Request request = {}) {
    if (!origin.empty()) request.headers.emplace_back("origin", origin);
    return Call(*world, GetParam(), std::move(request)).answer();
  }
  // As browsers do: without the user's key.
  Call::Answer preflight(const std::string& origin) {
    return ask(origin, {.method = "OPTIONS",
                        .body = "",
                        .headers = {{"access-control-request-method", "POST"},
                                    {"access-control-request-headers",
                                     "authorization,content-type,x-stainless-os"}},
                        .authorization = ""});
  }
  static std::ptrdiff_t count(const Call::Answer& answer, const std::string& name) {
    return std::count_if(answer.headers.begin(), answer.headers.end(),
                         [&name](const auto& one) { return one.first == name; });
  }
  static void expect_allowed(const Call::Answer& answer, int status) {
    EXPECT_EQ(answer.status, status);
    EXPECT_EQ(answer.header("access-control-allow-origin"), page) << status;
    EXPECT_EQ(count(answer, "access-control-allow-origin"), 1) << status;
    EXPECT_NE(answer.header("access-control-expose-headers").find("x-request-id"),
              std::string::npos);
    EXPECT_EQ(answer.header("vary"), "Origin");
  }

  std::optional<GatewayWorld> world;
  FakeEngine* engine = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Both, GatewayCors, ::testing::Values(Transport::http1, Transport::http2),
                         transport_name);

TEST_P(GatewayCors, H16_is_off_by_default) {
  serve({});
  EXPECT_EQ(count(ask(page), "access-control-allow-origin"), 0);
  EXPECT_EQ(count(ask(page), "vary"), 0);
  EXPECT_EQ(preflight(page).status, 401);
}

TEST_P(GatewayCors, H16_a_preflight_of_an_allowed_page_is_204_without_a_key) {
  serve({"https://other.example.com", page});
  const auto answer = preflight(page);
  expect_allowed(answer, 204);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.header("access-control-allow-methods"), "GET, POST, DELETE");
  EXPECT_EQ(answer.header("access-control-allow-headers"),
            "authorization,content-type,x-stainless-os");
  EXPECT_EQ(count(answer, "content-length") + count(answer, "transfer-encoding"), 0);
  EXPECT_EQ(engine->request_count(), 0u);
}

TEST_P(GatewayCors, H16_every_kind_of_answer_may_be_read_by_the_page) {
  serve({page});
  expect_allowed(ask(page), 200);
  expect_allowed(ask(page, {.authorization = "wrong"}), 401);
  expect_allowed(ask(page, {.body = R"({"model":"unknown"})"}), 404);
  engine->script = [](const Message&) {
    return answer_with("{}", "503 Service Unavailable",
                       "Content-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n");
  };
  expect_allowed(ask(page), 503);
  engine->script = [](const Message&) { return std::string("nonsense\r\n\r\n"); };
  expect_allowed(ask(page), 502);
  engine->script = [](const Message&) {
    return std::string(stream_head) + chunk("data: [DONE]\n\n") + std::string(last_chunk);
  };
  expect_allowed(ask(page), 200);
  world->deployment("dep-a").ready_replicas.clear();
  world->publish();
  expect_allowed(ask(page), 503);
}

TEST_P(GatewayCors, H16_other_pages_may_not) {
  serve({page});
  for (const std::string origin : {"https://evil.example.com", "https://app.example.com.evil",
                                   "http://app.example.com", "null", ""}) {
    EXPECT_EQ(count(ask(origin), "access-control-allow-origin"), 0) << origin;
    EXPECT_EQ(ask(origin).header("vary"), "Origin") << "caches must know";
  }
  const auto answer = preflight("https://evil.example.com");
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(count(answer, "access-control-allow-origin"), 0);
  EXPECT_EQ(count(answer, "access-control-allow-methods"), 0);
}

TEST_P(GatewayCors, H16_a_star_allows_every_page) {
  serve({"*"});
  expect_allowed(ask(page), 200);
  EXPECT_EQ(ask("").header("access-control-allow-origin"), "");
}

TEST_P(GatewayCors, H16_what_an_engine_says_passes_while_it_is_off) {
  serve({});
  engine->script = [](const Message&) {
    return answer_with("{}", "200 OK", "Access-Control-Allow-Origin: *\r\n");
  };
  EXPECT_EQ(ask(page).header("access-control-allow-origin"), "*");
}

}  // namespace
}  // namespace staithe::gateway
