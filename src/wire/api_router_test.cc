#include <chrono>
#include <set>
#include <string>

#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "openapi/document.h"
#include "wire/compression.h"
#include "wire/router_test_kit.h"

namespace staithe::wire {
namespace {

using namespace std::chrono_literals;
using net::testing::RawPeer;
using net::testing::run_until;
using nlohmann::json;
using testing::enveloped;
using testing::Fields;
using testing::Http2Peer;

using Text = ::coreweave::inference::v1alpha1::GetGatewayRequest;  // any message with one string

constexpr std::size_t body_bytes_max = 64 * 1024;
const std::string rpc_path = "/test.v1.Things/";

Text text(std::string value) {
  Text message;
  message.set_id(std::move(value));
  return message;
}

enum class Variant { rest, connect_json, connect_binary, grpc, grpc_web };
bool is_grpc(Variant variant) {
  return variant == Variant::grpc || variant == Variant::grpc_web;
}

class Router : public testing::RouterTest {
 protected:
  void serve(ApiOptions options = {}) {
    MethodTable table;
    const auto add = [&table](const char* name, const char* verb, const char* path) -> Method& {
      Method& method = table.emplace_back();
      method.service = "test.v1.Things";
      method.name = name;
      method.verb = verb;
      method.path = path;
      method.request = &Text::default_instance();
      method.response = &Text::default_instance();
      return method;
    };
    const auto echo = [this](Call call, MessagePtr request, Reply reply) {
      ++calls_;
      last_call_ = std::move(call);
      if (answer_id_) static_cast<Text&>(*request).set_id(*answer_id_);
      reply(Outcome(std::move(request)));
    };
    Method& get = add("Get", "GET", "/v1/things/{id}");
    get.role = auth::Role::viewer;
    get.handle = echo;
    add("Put", "POST", "/v1/things").handle = echo;
    add("About", "POST", "/v1/about").handle = echo;
    table.back().is_public = true;
    Method& slow = add("Slow", "POST", "/v1/slow");
    slow.role = auth::Role::viewer;
    slow.handle = [this](Call call, MessagePtr, Reply reply) {
      ++calls_;
      last_call_ = std::move(call);
      held_ = std::move(reply);
    };
    options.body_bytes_max = body_bytes_max;
    start(std::move(table), std::move(options));
  }

  const Http2Peer::Answer& ask(const std::string& verb, const std::string& path, Fields fields = {},
                               const std::string& body = {},
                               const std::string& token = "viewer-token") {
    if (!token.empty()) fields.emplace_back("authorization", "Bearer " + token);
    const auto& answer = peer_->wait(loop_, peer_->request(verb, path, body, fields));
    // Browsers refuse an answer that has one of theirs twice.
    std::set<std::string> names;
    for (const auto& [name, value] : answer.head) {
      if (!name.starts_with("access-control-")) continue;
      EXPECT_TRUE(names.insert(name).second) << name;
    }
    return answer;
  }
  // What an HTTP/1.1 client reads of a whole answer.
  std::string ask_http1(const std::string& request) {
    RawPeer peer = RawPeer::connect(port_);
    peer.send(request +
              " HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
              "authorization: Bearer viewer-token\r\n\r\n");
    EXPECT_TRUE(run_until(loop_, [&] { return peer.is_gone(); }));
    return peer.received();
  }

  int calls_ = 0;
  Call last_call_;
  std::optional<std::string> answer_id_;  // instead of what was asked for
  Reply held_;                            // of the slow method
};

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
  const auto& rpc = ask("OPTIONS", rpc_path + "Get");
  EXPECT_EQ(rpc.status(), "204");
  EXPECT_EQ(rpc.field("allow"), "POST, OPTIONS");
  EXPECT_EQ(ask("OPTIONS", "/v1/nothing").status(), "404");
  EXPECT_EQ(ask("OPTIONS", rpc_path + "Nothing").status(), "501");
  EXPECT_EQ(ask("OPTIONS", "/v1/things/a", {}, "", "").status(), "401");
  EXPECT_EQ(ask("OPTIONS", "/v1/nothing", {}, "", "").status(), "401");
  EXPECT_EQ(calls_, 0);
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

// The same in each way to say one call.
class Variants : public Router, public ::testing::WithParamInterface<Variant> {
 protected:
  struct Said {
    std::string code;
    std::string status;  // of HTTP
    std::string message;
    std::string id;  // of a good answer
  };

  Fields fields(const Fields& more) const {
    Fields all = more;
    switch (GetParam()) {
      case Variant::rest:
      case Variant::connect_json:
        all.emplace_back("content-type", "application/json");
        break;
      case Variant::connect_binary:
        all.emplace_back("content-type", "application/proto");
        break;
      case Variant::grpc:
        all.emplace_back("content-type", "application/grpc");
        break;
      case Variant::grpc_web:
        all.emplace_back("content-type", "application/grpc-web");
        break;
    }
    return all;
  }
  std::string path(const std::string& method) const {
    if (GetParam() != Variant::rest) return rpc_path + method;
    return method == "Put" ? "/v1/things" : "/v1/" + to_lower(method);
  }
  std::string body(const std::string& id) const {
    if (is_grpc(GetParam())) return enveloped(text(id));
    if (GetParam() == Variant::connect_binary) return text(id).SerializeAsString();
    return json{{"id", id}}.dump();
  }
  std::int32_t begin(const std::string& method, const std::string& payload,
                     const std::string& token, const Fields& more = {}, bool is_whole = true) {
    Fields all = fields(more);
    if (!token.empty()) all.emplace_back("authorization", "Bearer " + token);
    return peer_->request("POST", path(method), payload, all, is_whole);
  }
  Said read(const Http2Peer::Answer& answer) const {
    Said said{.code = "OK", .status = answer.status()};
    if (is_grpc(GetParam())) {
      const auto protocol =
          GetParam() == Variant::grpc ? testing::Protocol::grpc : testing::Protocol::grpc_web;
      const testing::StreamView view = read_stream(protocol, answer);
      said.code = view.code;
      said.message = view.message;
      if (!view.messages.empty()) said.id = id_of(view.messages.front());
      return said;
    }
    if (said.status == "200" && GetParam() == Variant::connect_binary) {
      said.id = id_of(answer.body);
      return said;
    }
    const json drawn = json::parse(answer.body, nullptr, false);
    if (!drawn.is_object()) return {.code = "not JSON", .status = said.status};
    said.id = drawn.value("id", "");
    if (said.status == "200") return said;
    said.message = drawn.value("message", "");
    said.code = GetParam() == Variant::rest
                    ? std::string(code_name(static_cast<Code>(drawn.value("code", 0))))
                    : testing::code_of_connect(drawn.value("code", ""));
    return said;
  }
  Said call(const std::string& method, const std::string& payload, const std::string& token,
            const Fields& more = {}) {
    return read(peer_->wait(loop_, begin(method, payload, token, more)));
  }
  void expect_status(const Said& said, const char* rest, const char* connect) const {
    const char* wanted = GetParam() == Variant::rest ? rest : connect;
    EXPECT_EQ(said.status, is_grpc(GetParam()) ? "200" : wanted);
  }

 private:
  static std::string id_of(const std::string& bytes) {
    Text message;
    EXPECT_TRUE(message.ParseFromString(bytes));
    return message.id();
  }
};

std::string variant_name(const ::testing::TestParamInfo<Variant>& tested) {
  static constexpr const char* names[] = {"rest", "connect_json", "connect_binary", "grpc",
                                          "grpc_web"};
  return names[static_cast<int>(tested.param)];
}

INSTANTIATE_TEST_SUITE_P(All, Variants,
                         ::testing::Values(Variant::rest, Variant::connect_json,
                                           Variant::connect_binary, Variant::grpc,
                                           Variant::grpc_web),
                         variant_name);

TEST_P(Variants, who_calls_comes_before_what_is_called) {
  serve();
  EXPECT_EQ(call("Put", body("a"), "admin-token").id, "a");
  EXPECT_EQ(calls_, 1);
  for (const char* token : {"", "unknown-token"}) {
    const Said stranger = call("Put", body("a"), token);
    EXPECT_EQ(stranger.code, "UNAUTHENTICATED");
    expect_status(stranger, "401", "401");
    // Neither what is served nor what is wrong with a body is told to a stranger.
    EXPECT_EQ(call("Nothing", body("a"), token).code, "UNAUTHENTICATED");
    EXPECT_EQ(call("Put", "\xff\xff", token).code, "UNAUTHENTICATED");
  }
  const Said viewer = call("Put", body("a"), "viewer-token");
  EXPECT_EQ(viewer.code, "PERMISSION_DENIED");
  expect_status(viewer, "403", "403");
  EXPECT_EQ(call("Put", "\xff\xff", "viewer-token").code, "PERMISSION_DENIED");
  EXPECT_EQ(calls_, 1);
  const Said unknown = call("Nothing", body("a"), "viewer-token");
  EXPECT_EQ(unknown.code, GetParam() == Variant::rest ? "NOT_FOUND" : "UNIMPLEMENTED");
  expect_status(unknown, "404", "501");
}

TEST_P(Variants, a_public_method_asks_for_no_token) {
  serve();
  EXPECT_EQ(call("About", body("a"), "").id, "a");
  EXPECT_EQ(last_call_.principal.organization, "");
  EXPECT_EQ(call("About", body("a"), "unknown-token").id, "a");
}

TEST_P(Variants, a_body_that_says_it_is_too_large_is_refused_before_it_is_sent) {
  serve();
  const std::string length = std::to_string(body_bytes_max + 100);
  const auto id = begin("Put", "{", "admin-token", {{"content-length", length}}, false);
  const Said refused = read(peer_->wait(loop_, id));
  EXPECT_EQ(refused.code, "RESOURCE_EXHAUSTED");
  expect_status(refused, "413", "429");
  const auto stranger = begin("Put", "{", "", {{"content-length", length}}, false);
  EXPECT_EQ(read(peer_->wait(loop_, stranger)).code, "UNAUTHENTICATED");
  EXPECT_EQ(calls_, 0);
}

TEST_P(Variants, a_body_that_turns_out_too_large_is_refused) {
  serve();
  const Said refused = call("Put", body(std::string(body_bytes_max, 'a')), "admin-token");
  EXPECT_EQ(refused.code, "RESOURCE_EXHAUSTED");
  expect_status(refused, "413", "429");
  EXPECT_EQ(calls_, 0);
  const std::string fits(body_bytes_max - 20, 'a');
  EXPECT_EQ(call("Put", body(fits), "admin-token").id, fits);
}

TEST_P(Variants, a_body_that_is_too_large_unpacked_is_refused) {
  serve();
  const std::string large(body_bytes_max + 1, 'a');
  const std::string plain = GetParam() == Variant::rest || GetParam() == Variant::connect_json
                                ? json{{"id", large}}.dump()
                                : text(large).SerializeAsString();
  const std::string packed = gzip(plain);
  ASSERT_LT(packed.size(), 10'000u);
  const Said refused = is_grpc(GetParam())
                           ? call("Put", enveloped(packed, Envelope::compressed_flag),
                                  "admin-token", {{"grpc-encoding", "gzip"}})
                           : call("Put", packed, "admin-token", {{"content-encoding", "gzip"}});
  EXPECT_EQ(refused.code, "RESOURCE_EXHAUSTED");
  expect_status(refused, "413", "429");
}

TEST_P(Variants, a_malformed_body_is_the_callers_mistake) {
  serve();
  const Said refused =
      call("Put", is_grpc(GetParam()) ? enveloped("\xff\xff") : "\xff\xff", "admin-token");
  EXPECT_EQ(refused.code, "INVALID_ARGUMENT");
  expect_status(refused, "400", "400");
  EXPECT_FALSE(refused.message.empty());
}

TEST_P(Variants, the_callers_deadline_ends_a_call) {
  serve();
  if (GetParam() == Variant::rest) {  // says none
    begin("Slow", body("a"), "viewer-token", {{"grpc-timeout", "1S"}, {"connect-timeout-ms", "1"}});
    ASSERT_TRUE(poll_until([this] { return held_ != nullptr; }));
    EXPECT_EQ(last_call_.deadline, Instant::max());
    return;
  }
  const Fields five_seconds = is_grpc(GetParam()) ? Fields{{"grpc-timeout", "5000m"}}
                                                  : Fields{{"connect-timeout-ms", "5000"}};
  const auto id = begin("Slow", body("a"), "viewer-token", five_seconds);
  ASSERT_TRUE(poll_until([this] { return held_ != nullptr; }));
  EXPECT_EQ(last_call_.deadline, clock_.instant() + 5s);
  advance(4999ms);
  settle();
  EXPECT_FALSE(peer_->answer(id).is_ended);
  advance(1ms);
  const Said late = read(peer_->wait(loop_, id));
  EXPECT_EQ(late.code, "DEADLINE_EXCEEDED");
  expect_status(late, "", "504");
  held_(Outcome(std::make_unique<Text>(text("late"))));
  settle();
  EXPECT_EQ(server_->exchange_count(), 0u);
}

TEST_P(Variants, an_answer_before_the_deadline_is_not_disturbed_by_it) {
  serve();
  const auto id = begin("Slow", body("a"), "viewer-token",
                        {{is_grpc(GetParam()) ? "grpc-timeout" : "connect-timeout-ms",
                          is_grpc(GetParam()) ? "5S" : "5000"}});
  ASSERT_TRUE(poll_until([this] { return held_ != nullptr; }));
  held_(Outcome(std::make_unique<Text>(text("in time"))));
  EXPECT_EQ(read(peer_->wait(loop_, id)).id, "in time");
  advance(10s);
  EXPECT_EQ(call("About", body("a"), "").id, "a");
}

TEST_P(Variants, a_method_may_reply_to_a_client_that_has_gone) {
  serve();
  const auto id = begin("Slow", body("a"), "viewer-token");
  ASSERT_TRUE(poll_until([this] { return held_ != nullptr; }));
  peer_->reset(id);
  settle();
  EXPECT_EQ(server_->exchange_count(), 0u);
  held_(Outcome(std::make_unique<Text>(text("late"))));
  settle();
  EXPECT_EQ(call("About", body("a"), "").id, "a");
}

TEST_P(Variants, a_service_that_is_away_says_when_to_come_back) {
  serve();
  const auto id = begin("Slow", body("a"), "viewer-token");
  ASSERT_TRUE(poll_until([this] { return held_ != nullptr; }));
  held_(Outcome(Error{.code = Code::unavailable, .message = "away", .retry_after_s = 7}));
  const auto& answer = peer_->wait(loop_, id);
  EXPECT_EQ(read(answer).code, "UNAVAILABLE");
  expect_status(read(answer), "503", "503");
  EXPECT_EQ(answer.field("retry-after"), "7");
}

}  // namespace
}  // namespace staithe::wire
