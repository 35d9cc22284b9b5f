#include <string>

#include "openapi/document.h"
#include "wire/compression.h"
#include "wire/things_test_kit.h"

namespace staithe::wire {
namespace {

using nlohmann::json;
using testing::enveloped;
using testing::Fields;
using testing::Http2Peer;
using testing::Text;
using testing::text;

class Router : public testing::ThingsTest {};

TEST_F(Router, head_is_get_without_its_body) {
  serve();
  const auto& got = ask("GET", "/v1/things/a");
  EXPECT_EQ(got.body, R"({"id":"a"})");
  const auto& head = ask("HEAD", "/v1/things/a");
  EXPECT_EQ(head.status(), "200");
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.field("content-length"), "10");
  EXPECT_EQ(head.field("content-type"), "application/json");
  EXPECT_EQ(calls_, 2);
  const std::string http1 = ask_http1("HEAD /v1/things/a");
  EXPECT_NE(http1.find("Content-Length: 10\r\n"), std::string::npos);
  EXPECT_TRUE(http1.ends_with("\r\n\r\n")) << http1;
}

TEST_F(Router, options_names_the_verbs_of_a_path_to_who_may_know_them) {
  serve();
  const auto& rest = ask("OPTIONS", "/v1/things/a");
  EXPECT_EQ(rest.status(), "204");
  EXPECT_EQ(rest.field("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(rest.body, "");
  // There is none of a 204 (RFC 9110 section 8.6).
  EXPECT_EQ(rest.field("content-length"), "");
  const std::string http1 = ask_http1("OPTIONS /v1/things/a");
  EXPECT_TRUE(http1.starts_with("HTTP/1.1 204 ")) << http1;
  EXPECT_EQ(http1.find("Content-Length"), std::string::npos) << http1;
  EXPECT_TRUE(http1.ends_with("\r\n\r\n")) << http1;
  const auto& rpc = ask("OPTIONS", rpc_path + "Get");
  EXPECT_EQ(rpc.status(), "204");
  EXPECT_EQ(rpc.field("allow"), "POST, OPTIONS");
  EXPECT_EQ(ask("OPTIONS", "/v1/nothing").status(), "404");
  EXPECT_EQ(ask("OPTIONS", rpc_path + "Nothing").status(), "501");
  EXPECT_EQ(ask("OPTIONS", "/v1/things/a", {}, "", "").status(), "401");
  EXPECT_EQ(ask("OPTIONS", "/v1/nothing", {}, "", "").status(), "401");
  EXPECT_EQ(calls_, 0);
}

TEST_F(Router, that_is_closed_asks_callers_to_try_again_in_their_own_protocol) {
  serve();
  EXPECT_EQ(ask("GET", "/v1/things/a").status(), "200");
  EXPECT_EQ(router_->open_calls(), 0u);
  router_->close();
  const auto& rest = ask("GET", "/v1/things/a");
  EXPECT_EQ(rest.status(), "503");
  EXPECT_NE(rest.body.find("try again"), std::string::npos) << rest.body;
  const auto& rpc =
      ask("POST", rpc_path + "Get", stream_fields(testing::Protocol::grpc), enveloped(""));
  EXPECT_EQ(rpc.field("grpc-status"), "14");
  EXPECT_EQ(calls_, 1);
}

Fields preflight(const std::string& origin) {
  return {{"origin", origin},
          {"access-control-request-method", "POST"},
          {"access-control-request-headers", "authorization,content-type,x-grpc-web"}};
}

TEST_F(Router, a_preflight_from_an_allowed_page_is_answered_without_a_token) {
  serve({.cors = CorsPolicy({"https://console.example.com"})});
  for (const std::string& path : {std::string("/v1/things/a"), rpc_path + "Put"}) {
    const auto& answer = ask("OPTIONS", path, preflight("https://console.example.com"), "", "");
    EXPECT_EQ(answer.status(), "204");
    EXPECT_EQ(answer.field("access-control-allow-origin"), "https://console.example.com");
    EXPECT_EQ(answer.field("access-control-allow-methods"), "GET, POST, PATCH, DELETE");
    const std::string allowed = answer.field("access-control-allow-headers");
    for (const char* name : {"authorization", "content-type", "connect-protocol-version",
                             "connect-timeout-ms", "grpc-timeout", "x-grpc-web", "x-user-agent"}) {
      EXPECT_NE(allowed.find(name), std::string::npos) << name;
    }
    EXPECT_NE(answer.field("vary").find("Origin"), std::string::npos);
    // Tokens are sent by the page's own code; cookies mean nothing here.
    EXPECT_EQ(answer.field("access-control-allow-credentials"), "");
  }
  EXPECT_EQ(calls_, 0);
}

TEST_F(Router, a_preflight_from_any_other_page_allows_nothing) {
  serve({.cors = CorsPolicy({"https://console.example.com"})});
  for (const char* origin :
       {"https://evil.example.com", "http://console.example.com",
        "https://console.example.com.evil", "https://console.example.com:8443", "null", ""}) {
    const auto& answer = ask("OPTIONS", "/v1/things/a", preflight(origin), "", "");
    EXPECT_EQ(answer.field("access-control-allow-origin"), "") << origin;
    EXPECT_EQ(answer.field("access-control-allow-methods"), "") << origin;
    EXPECT_EQ(answer.field("access-control-allow-headers"), "") << origin;
  }
}

TEST_F(Router, without_a_policy_no_page_is_allowed_and_none_is_mentioned) {
  serve();
  const auto& asked = ask("OPTIONS", "/v1/things/a", preflight("https://a.example.com"));
  EXPECT_EQ(asked.field("access-control-allow-origin"), "");
  const auto& answer = ask("GET", "/v1/things/a", {{"origin", "https://a.example.com"}});
  EXPECT_EQ(answer.status(), "200");
  EXPECT_EQ(answer.field("access-control-allow-origin"), "");
  EXPECT_EQ(answer.field("vary"), "");
}

TEST_F(Router, a_star_allows_every_page) {
  serve({.cors = CorsPolicy({"*"})});
  const auto& asked =
      ask("OPTIONS", rpc_path + "Get", preflight("https://any.example.com"), "", "");
  EXPECT_EQ(asked.field("access-control-allow-origin"), "https://any.example.com");
  const auto& answer = ask("GET", "/v1/things/a", {{"origin", "https://any.example.com"}});
  EXPECT_EQ(answer.field("access-control-allow-origin"), "https://any.example.com");
}

TEST_F(Router, an_allowed_page_may_read_answers_and_refusals) {
  serve({.cors = CorsPolicy({"https://console.example.com"})});
  const Fields origin{{"origin", "https://console.example.com"}};
  const auto check = [](const Http2Peer::Answer& answer) {
    EXPECT_EQ(answer.field("access-control-allow-origin"), "https://console.example.com");
    const std::string exposed = answer.field("access-control-expose-headers");
    for (const char* name : {"grpc-status", "grpc-message", "grpc-status-details-bin"}) {
      EXPECT_NE(exposed.find(name), std::string::npos) << name;
    }
  };
  check(ask("GET", "/v1/things/a", origin));
  check(ask("GET", "/v1/things/a", origin, "", ""));
  check(ask("GET", "/v1/nothing", origin));
  Fields web = origin;
  web.emplace_back("content-type", "application/grpc-web+proto");
  check(ask("POST", rpc_path + "Get", web, enveloped(text("a"))));
  check(ask("POST", rpc_path + "Get", web, enveloped(text("a")), ""));
}

TEST_F(Router, large_answers_are_compressed_for_who_takes_gzip) {
  serve();
  answer_id_ = std::string(5'000, 'n');
  const Fields gzip_taken{{"accept-encoding", "gzip"}};
  const auto& plain = ask("GET", "/v1/things/a");
  EXPECT_EQ(plain.field("content-encoding"), "");
  EXPECT_EQ(plain.field("vary"), "Accept-Encoding");
  const auto& rest = ask("GET", "/v1/things/a", gzip_taken);
  EXPECT_EQ(rest.field("content-encoding"), "gzip");
  EXPECT_EQ(rest.field("content-length"), std::to_string(rest.body.size()));
  EXPECT_EQ(gunzip(rest.body, 10'000).value(), plain.body);
  Fields connect = gzip_taken;
  connect.emplace_back("content-type", "application/proto");
  const auto& binary = ask("POST", rpc_path + "Get", connect, text("a").SerializeAsString());
  EXPECT_EQ(binary.field("content-encoding"), "gzip");
  Text read;
  ASSERT_TRUE(read.ParseFromString(gunzip(binary.body, 10'000).value()));
  EXPECT_EQ(read.id(), *answer_id_);
  // gRPC compresses messages, not bodies.
  Fields grpc{{"content-type", "application/grpc"}, {"accept-encoding", "gzip"}};
  EXPECT_EQ(ask("POST", rpc_path + "Get", grpc, enveloped(text("a"))).body[0], '\0');
  grpc.emplace_back("grpc-accept-encoding", "gzip");
  const auto& packed = ask("POST", rpc_path + "Get", grpc, enveloped(text("a")));
  EXPECT_EQ(packed.field("content-encoding"), "");
  EXPECT_EQ(packed.field("grpc-encoding"), "gzip");
  EXPECT_EQ(packed.body[0], '\1');
}

TEST_F(Router, serves_the_contract_to_everybody) {
  serve();
  const auto& catalog = ask("GET", "/.well-known/api-catalog", {}, "", "");
  EXPECT_EQ(catalog.status(), "200");
  EXPECT_EQ(catalog.field("content-type"), "application/linkset+json");
  const json services = json::parse(catalog.body)["linkset"][0]["service-desc"];
  ASSERT_EQ(services.size(), 2u);
  for (const json& service : services) {
    const auto& document = ask("GET", service["href"].get<std::string>(), {}, "", "");
    EXPECT_EQ(document.status(), "200");
    EXPECT_EQ(document.field("content-type"), service["type"].get<std::string>());
    EXPECT_GT(document.body.size(), 10'000u);
  }
  const auto& packed = ask("GET", "/openapi.json", {{"accept-encoding", "gzip"}}, "", "");
  EXPECT_EQ(packed.field("content-encoding"), "gzip");
  EXPECT_EQ(gunzip(packed.body, 10'000'000).value(), api::openapi_json());
  const auto& head = ask("HEAD", "/openapi.json", {}, "", "");
  EXPECT_EQ(head.field("content-length"), std::to_string(api::openapi_json().size()));
  EXPECT_EQ(head.body, "");
  const auto& refused = ask("POST", "/openapi.json", {}, "{}", "");
  EXPECT_EQ(refused.status(), "405");
  EXPECT_EQ(refused.field("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(ask("OPTIONS", "/openapi.json", {}, "", "").status(), "204");
}

TEST_F(Router, every_answer_has_an_id_and_is_not_to_be_stored) {
  serve();
  const auto& given = ask("GET", "/v1/things/a", {{"x-request-id", "my-id"}});
  EXPECT_EQ(given.field("x-request-id"), "my-id");
  EXPECT_EQ(given.field("cache-control"), "no-store");
  EXPECT_EQ(last_call_.request_id, "my-id");
  const std::string made = ask("GET", "/v1/things/a").field("x-request-id");
  EXPECT_EQ(made.size(), 36u);
  EXPECT_NE(ask("GET", "/v1/nothing").field("x-request-id"), made);
  const std::string long_id(129, 'a');
  EXPECT_NE(ask("GET", "/v1/things/a", {{"x-request-id", long_id}}).field("x-request-id"), long_id);
}

}  // namespace
}  // namespace staithe::wire
