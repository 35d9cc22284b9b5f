#include <gtest/gtest.h>

#include <string>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

// Engines that answer with the deployment they belong to and what they saw.
class RoutingTest : public ::testing::Test {
 protected:
  void serve(const std::string& deployment, const std::string& model) {
    world.add_engine(deployment, model).script = [this](const Message& request) {
      seen = request;
      return answer_with("{}");
    };
  }
  void route_by(Routing routing, std::string header_name = "") {
    world.route.routing = routing;
    world.route.header_name = std::move(header_name);
    world.publish();
  }
  // The deployment that answered, or the status of a refusal.
  std::string placed(std::string_view request) {
    seen = {};
    const Message answer = world.ask(request);
    return answer.status() == 200 ? answer.header("x-inference-deployment")
                                  : std::to_string(answer.status());
  }

  GatewayWorld world;
  Message seen;
};

using BodyRouting = RoutingTest;
using HeaderRouting = RoutingTest;
using PathRouting = RoutingTest;

TEST_F(BodyRouting, T06_only_the_exact_name_is_served) {
  serve("dep-a", "Org/Model");
  EXPECT_EQ(placed(chat("Org/Model")), "dep-a");
  for (const std::string name : {"org/model", "Org/Mode", "Org/Model2", "Model", " Org/Model"}) {
    const Message answer = world.ask(chat(name));
    EXPECT_EQ(answer.status(), 404);
    EXPECT_NE(answer.body.find("\"code\":\"model_not_found\""), std::string::npos);
    EXPECT_NE(answer.body.find("`" + name + "`"), std::string::npos) << answer.body;
  }
}

TEST_F(BodyRouting, T06_a_disabled_deployment_does_not_exist) {
  serve("dep-a", "model-a");
  world.deployment("dep-a").is_disabled = true;
  world.publish();
  EXPECT_EQ(placed(chat()), "404");
}

TEST_F(BodyRouting, T07_a_model_is_found_by_its_name_raw_or_encoded) {
  serve("dep-a", "org/name:tag");
  EXPECT_EQ(placed(chat("org/name:tag")), "dep-a");
  for (const auto path : {"/v1/models/org/name:tag", "/v1/models/org%2Fname:tag",
                          "/v1/models/org%2Fname%3Atag", "/v1/models/org/name:tag/"}) {
    const Message answer = world.ask(get(path));
    EXPECT_EQ(answer.status(), 200) << path;
    EXPECT_EQ(answer.body,
              R"({"id":"org/name:tag","object":"model","created":0,"owned_by":"org001"})");
  }
  EXPECT_EQ(world.ask(get("/v1/models/org%252Fname:tag")).status(), 404);
  EXPECT_EQ(world.ask(get("/v1/models/other")).status(), 404);
}

TEST_F(BodyRouting, the_query_reaches_the_engine) {
  serve("dep-a", "model-a");
  EXPECT_EQ(placed(post("/v1/completions?a=1&b=%2F", R"({"model":"model-a"})")), "dep-a");
  EXPECT_EQ(seen.first_line, "POST /v1/completions?a=1&b=%2F HTTP/1.1");
}

TEST_F(PathRouting, T08_the_longest_name_that_leaves_a_served_path_wins) {
  route_by(Routing::path);
  serve("dep-a", "a");
  serve("dep-ab", "a/b");
  serve("dep-slash", "org/name");
  const auto at = [&](std::string_view path) {
    return placed(post(std::string(path), R"({"model":"x"})"));
  };
  EXPECT_EQ(at("/a/v1/completions"), "dep-a");
  EXPECT_EQ(at("/a/b/v1/completions"), "dep-ab");
  EXPECT_EQ(at("/a%2Fb/v1/completions"), "dep-ab");
  EXPECT_EQ(at("/org%2Fname/v1/completions?x=%2F&y"), "dep-slash");
  EXPECT_EQ(seen.first_line, "POST /v1/completions?x=%2F&y HTTP/1.1");
  EXPECT_EQ(at("/org/name/v1/completions"), "dep-slash");
  EXPECT_EQ(at("//a//v1/completions/"), "dep-a");
  EXPECT_EQ(at("/org%252Fname/v1/completions"), "404");
  EXPECT_EQ(at("/A/v1/completions"), "404");
  EXPECT_EQ(at("/a/c/v1/completions"), "404");
  EXPECT_EQ(at("/a/metrics"), "404");
  EXPECT_EQ(at("/v1/completions"), "404");
}

TEST_F(PathRouting, T08_the_body_gets_the_name_that_the_engine_serves) {
  route_by(Routing::path);
  serve("dep-a", "org/name");
  placed(post("/org%2Fname/v1/chat/completions", R"({"n": 1.0,"model" : "x\"y", "z":2})"));
  EXPECT_EQ(seen.body, R"({"n": 1.0,"model" : "org/name", "z":2})");
  placed(post("/org%2Fname/v1/chat/completions", R"({"n":1})"));
  EXPECT_EQ(seen.body, R"({"n":1})");
  placed(post("/org%2Fname/v1/chat/completions", "not json"));
  EXPECT_EQ(seen.body, "not json");
}

TEST_F(PathRouting, lists_all_models_at_the_base_and_one_below_its_name) {
  route_by(Routing::path);
  serve("dep-a", "a");
  serve("dep-b", "b");
  const std::string a = R"({"id":"a","object":"model","created":0,"owned_by":"org001"})";
  const std::string b = R"({"id":"b","object":"model","created":0,"owned_by":"org001"})";
  const auto list = [](const std::string& entries) {
    return R"({"object":"list","data":[)" + entries + "]}";
  };
  EXPECT_EQ(world.ask(get("/v1/models")).body, list(a + "," + b));
  EXPECT_EQ(world.ask(get("/b/v1/models")).body, list(b));
  EXPECT_EQ(world.ask(get("/b/v1/models/b")).body, b);
  EXPECT_EQ(world.ask(get("/b/v1/models/a")).status(), 404);
}

TEST_F(PathRouting, requests_without_a_body_are_forwarded) {
  route_by(Routing::path);
  serve("dep-a", "a");
  EXPECT_EQ(placed(get("/a/v1/responses/resp_1")), "dep-a");
  EXPECT_EQ(seen.first_line, "GET /v1/responses/resp_1 HTTP/1.1");
  EXPECT_FALSE(seen.has("content-length"));
}

TEST_F(HeaderRouting, T09_the_header_alone_decides) {
  route_by(Routing::header, "X-Model-Name");
  serve("dep-a", "model-a");
  serve("dep-b", "model-b");
  const std::string body = R"({"model":"model-b", "n":1.50})";
  EXPECT_EQ(placed(post("/v1/completions", body, "x-model-NAME: model-a\r\n")), "dep-a");
  EXPECT_EQ(seen.body, R"({"model":"model-a", "n":1.50})") << "but for the name, untouched";
  EXPECT_EQ(placed(post("/v1/completions", body, "X-Model-Name: model-b\r\n")), "dep-b");
  EXPECT_EQ(seen.body, body);
}

TEST_F(HeaderRouting, T09_a_header_that_is_missing_twice_or_unknown_is_refused) {
  route_by(Routing::header, "X-Model-Name");
  serve("dep-a", "model-a");
  const std::string body = R"({"model":"model-a"})";
  EXPECT_EQ(placed(post("/v1/completions", body)), "400");
  EXPECT_EQ(
      placed(post("/v1/completions", body, "X-Model-Name: model-a\r\nX-Model-Name: model-a\r\n")),
      "400");
  EXPECT_EQ(placed(post("/v1/completions", body, "X-Model-Name: Model-A\r\n")), "404");
  EXPECT_EQ(
      placed(post("/v1/completions", R"({"model":"a","model":"b"})", "X-Model-Name: model-a\r\n")),
      "400");
  EXPECT_EQ(world.ask(get("/v1/models")).status(), 200);
}

TEST_F(HeaderRouting, a_form_gets_the_name_that_the_engine_serves) {
  route_by(Routing::header, "X-Model-Name");
  serve("dep-a", "model-a");
  const auto form = [](std::string_view model) {
    return fmt::format(
        "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{}\r\n--b--\r\n", model);
  };
  EXPECT_EQ(placed(post("/v1/audio/transcriptions", form("other"),
                        "X-Model-Name: model-a\r\n"
                        "Content-Type: multipart/form-data; boundary=\"b\"\r\n")),
            "dep-a");
  EXPECT_EQ(seen.body, form("model-a"));
}

TEST_F(RoutingTest, a_gateway_is_found_by_its_host_names) {
  world.route.hosts = {"Models.Example.com", "[::1]"};
  serve("dep-a", "model-a");
  const auto status = [&](std::string_view host, std::string_view target) {
    return world
        .ask(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n", target,
                         host, key))
        .status();
  };
  EXPECT_EQ(status("models.example.com", "/v1/models"), 200);
  EXPECT_EQ(status("MODELS.example.com.:8443", "/v1/models"), 200);
  EXPECT_EQ(status("[::1]:80", "/v1/models"), 200);
  EXPECT_EQ(status("models.example.com", "/gateways/gw/v1/models"), 200);
  EXPECT_EQ(status("models.example.com", "/gateways/other/v1/models"), 404);
  EXPECT_EQ(status("example.com", "/v1/models"), 404);
}

TEST_F(RoutingTest, a_gateway_claims_what_is_its_own_and_nothing_else) {
  world.route.hosts = {"models.example.com"};
  world.publish();
  const auto claims = [&](std::string_view host, std::string_view target) {
    net::RequestHead head;
    head.method = "GET";
    head.target = target;
    head.headers.add("Host", host);
    return world.gateway().claims(head);
  };
  EXPECT_TRUE(claims("any", "/gateways/gw/v1/models"));
  EXPECT_TRUE(claims("any", "/gateways/unknown"));
  EXPECT_TRUE(claims("models.example.com", "/anything"));
  EXPECT_FALSE(claims("any", "/v1alpha1/inference/gateways"));
  EXPECT_FALSE(claims("any", "/healthz"));
}

}  // namespace
}  // namespace staithe::gateway
