#include <chrono>
#include <string>

#include "wire/compression.h"
#include "wire/things_test_kit.h"

namespace staithe::wire {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::enveloped;
using testing::Fields;
using testing::Http2Peer;
using testing::Text;
using testing::text;

enum class Variant { rest, connect_json, connect_binary, grpc, grpc_web };
bool is_grpc(Variant variant) {
  return variant == Variant::grpc || variant == Variant::grpc_web;
}

// The same in each way to say one call.
class Variants : public testing::ThingsTest, public ::testing::WithParamInterface<Variant> {
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
  EXPECT_EQ(counted("Slow", "CANCELLED"), 1);
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
