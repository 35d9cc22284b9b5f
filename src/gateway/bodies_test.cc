#include <gtest/gtest.h>

#include <string>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

class Bodies : public ::testing::Test {
 protected:
  // What reaches the engine of `request`, which is answered with {}.
  Message forwarded(std::string_view request) {
    Message seen;
    engine.script = [&seen](const Message& one) {
      seen = one;
      return answer_with("{}");
    };
    EXPECT_EQ(world.ask(request).status(), 200);
    return seen;
  }

  explicit Bodies(const Options& options = {}) : world(options) {}

  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
};

TEST_F(Bodies, H01_a_chunked_request_reaches_the_engine_with_valid_framing) {
  const std::string body = R"({"model":"model-a","n":1})";
  const std::string request = fmt::format(
      "POST /gateways/gw/v1/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n"
      "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}{}{}",
      key, chunk(body.substr(0, 7)), chunk(body.substr(7)), last_chunk);
  const Message seen = forwarded(request);
  EXPECT_EQ(seen.body, body);
  EXPECT_NE(seen.has("content-length"), seen.has("transfer-encoding"));
}

TEST_F(Bodies, H02_a_rewritten_body_has_one_right_length) {
  world.route.routing = Routing::header;
  world.route.header_name = "X-Model-Name";
  world.publish();
  const Message seen =
      forwarded(post("/v1/completions", R"({"model":"b","n":1})", "X-Model-Name: model-a\r\n"));
  EXPECT_EQ(seen.body, R"({"model":"model-a","n":1})");
  EXPECT_EQ(seen.count("content-length"), 1u);
  EXPECT_EQ(seen.header("content-length"), std::to_string(seen.body.size()));
  EXPECT_FALSE(seen.has("transfer-encoding"));
}

TEST_F(Bodies, H05_a_picture_of_12_MB_in_a_message_works) {
  const std::string body = R"({"messages":[{"image_url":"data:image/png;base64,)" +
                           std::string(12'000'000, 'A') + R"("}],"model":"model-a"})";
  RawPeer client = world.connect();
  world.send(client, post("/v1/chat/completions", body));
  const Message seen = world.at_engine(engine);
  EXPECT_TRUE(seen.body == body);
  engine.peer(0).send(answer_with("{}"));
  EXPECT_EQ(world.answer(client).status(), 200);
}

TEST(BodyLimit, H06_a_body_over_the_limit_is_413_naming_the_limit_in_log_and_metrics) {
  GatewayWorld world({.body_bytes_max = 1000, .is_access_logged = true});
  FakeEngine& engine = world.add_engine();
  const std::string body = R"({"model":"model-a","p":")" + std::string(2000, 'x') + "\"}";
  const std::string chunked = fmt::format(
      "POST /gateways/gw/v1/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n"
      "Transfer-Encoding: chunked\r\n\r\n{}{}",
      key, chunk(body), last_chunk);
  for (const std::string& request : {post("/v1/completions", body), chunked}) {
    const Message answer = world.ask(request);
    EXPECT_EQ(answer.status(), 413);
    EXPECT_NE(answer.body.find("1000 bytes"), std::string::npos) << answer.body;
    EXPECT_NE(answer.body.find("\"code\":\"request_too_large\""), std::string::npos);
  }
  EXPECT_NE(world.logged().find("\"status\":\"413\""), std::string::npos) << world.logged();
  EXPECT_EQ(world.requests("4xx", "none"), 2);
  EXPECT_EQ(engine.connection_count(), 0u);
}

TEST_F(Bodies, H08_the_callers_key_never_reaches_the_engine) {
  const Message seen = forwarded(
      post(fmt::format("/v1/completions?api_key={}&user=7&again={}", key, percent_encode(key)),
           R"({"model":"model-a"})",
           fmt::format("Cookie: session={0}\r\nX-Api-Key: {0}\r\nApi-Key: Bearer {0}\r\n"
                       "Proxy-Authorization: Basic {0}\r\n",
                       key)));
  EXPECT_EQ(seen.first_line, "POST /v1/completions?user=7 HTTP/1.1");
  for (const auto& [name, value] : seen.headers) {
    EXPECT_EQ(value.find(key), std::string::npos) << name;
    EXPECT_NE(name, "authorization");
    EXPECT_NE(name, "cookie");
  }
}

TEST_F(Bodies, H08_a_key_of_another_kind_passes) {
  const Message seen =
      forwarded(post("/v1/completions", R"({"model":"model-a"})", "X-Api-Key: other\r\n"));
  EXPECT_EQ(seen.header("x-api-key"), "other");
}

TEST_F(Bodies, H09_fields_of_the_hop_end_here_and_others_pass) {
  const Message seen = forwarded(
      post("/v1/completions", R"({"model":"model-a"})",
           "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nTE: trailers\r\n"
           "Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Inference-Deployment: dep-b\r\n"
           "User-Agent: test\r\nX-Custom: kept\r\n"
           "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
  EXPECT_EQ(seen.header("host"), fmt::format("127.0.0.1:{}", engine.port()));
  for (const auto name :
       {"x-hop", "keep-alive", "te", "proxy-connection", "upgrade", "x-inference-deployment"}) {
    EXPECT_FALSE(seen.has(name)) << name;
  }
  EXPECT_EQ(seen.header("x-custom"), "kept");
  EXPECT_EQ(seen.header("user-agent"), "test");
  EXPECT_EQ(seen.header("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
}

TEST_F(Bodies, H09_the_callers_address_is_added_to_those_before_it) {
  const Message seen = forwarded(
      post("/v1/completions", R"({"model":"model-a"})", "X-Forwarded-For: 203.0.113.7\r\n"));
  EXPECT_EQ(seen.count("x-forwarded-for"), 1u);
  EXPECT_EQ(seen.header("x-forwarded-for"), "203.0.113.7, 127.0.0.1");
}

TEST_F(Bodies, an_engine_learns_the_scheme_of_the_caller_or_of_the_proxy_before_us) {
  const std::string body = R"({"model":"model-a"})";
  EXPECT_EQ(forwarded(post("/v1/completions", body)).header("x-forwarded-proto"), "http");
  for (const auto& [given, told] : {std::pair{"https", "https"}, {"gopher", "http"}}) {
    const Message seen =
        forwarded(post("/v1/completions", body, fmt::format("X-Forwarded-Proto: {}\r\n", given)));
    EXPECT_EQ(seen.count("x-forwarded-proto"), 1u);
    EXPECT_EQ(seen.header("x-forwarded-proto"), told);
  }
}

TEST_F(Bodies, H11_nothing_of_ours_gets_into_the_json) {
  const std::string body = R"({"model":"model-a","prompt":"hi"})";
  EXPECT_EQ(forwarded(post("/v1/completions", body, "X-Inference-Anything: 1\r\n")).body, body);
}

TEST_F(Bodies, H13_slashes_too_many_are_handled_in_place) {
  for (const auto path :
       {"/v1/chat/completions/", "/v1//chat/completions", "//v1/chat/completions//"}) {
    const Message seen = forwarded(post(path, R"({"model":"model-a"})"));
    EXPECT_EQ(seen.first_line, "POST /v1/chat/completions HTTP/1.1") << path;
  }
}

TEST_F(Bodies, H14_a_refused_request_is_not_asked_for_its_body) {
  RawPeer client = world.connect();
  world.send(client,
             "POST /gateways/gw/v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n"
             "Authorization: Bearer wrong\r\nExpect: 100-continue\r\n\r\n");
  const Message answer = world.answer(client);
  EXPECT_EQ(answer.status(), 401);
  EXPECT_FALSE(client.has_received("100 Continue"));
}

TEST_F(Bodies, H14_an_admitted_one_is) {
  RawPeer client = world.connect();
  const std::string body = R"({"model":"model-a"})";
  world.send(client, fmt::format("POST /gateways/gw/v1/completions HTTP/1.1\r\nHost: h\r\n"
                                 "Content-Length: {}\r\nAuthorization: Bearer {}\r\n"
                                 "Expect: 100-continue\r\n\r\n",
                                 body.size(), key));
  ASSERT_TRUE(world.until([&] { return client.has_received("100 Continue\r\n\r\n"); }));
  world.send(client, body);
  const Message seen = world.at_engine(engine);
  EXPECT_EQ(seen.body, body);
  EXPECT_FALSE(seen.has("expect"));
}

TEST_F(Bodies, H17_every_answer_carries_the_requests_id_and_the_deployment_that_answered) {
  RawPeer client = world.connect();
  world.send(client, post("/v1/completions", R"({"model":"model-a"})", "X-Request-Id: abc-1\r\n"));
  EXPECT_EQ(world.at_engine(engine).header("x-request-id"), "abc-1");
  engine.peer(0).send(answer_with("{}", "200 OK", "X-Request-Id: the-engines\r\n"));
  const Message answer = world.answer(client);
  EXPECT_EQ(answer.header("x-request-id"), "abc-1");
  EXPECT_EQ(answer.count("x-request-id"), 1u);
  EXPECT_EQ(answer.header("x-inference-deployment"), "dep-a");

  const Message refusal = world.ask(chat("nobody"));
  EXPECT_EQ(refusal.header("x-request-id").size(), 36u);
}

TEST_F(Bodies, H18_v1_twice_is_404_with_a_hint) {
  const Message answer = world.ask(post("/v1/v1/chat/completions", R"({"model":"model-a"})"));
  EXPECT_EQ(answer.status(), 404);
  EXPECT_NE(answer.body.find("twice"), std::string::npos);
}

TEST_F(Bodies, O01_every_error_of_ours_has_the_openai_shape) {
  struct Case {
    std::string request;
    int status;
    std::string_view end;
  };
  const auto completions = [](std::string_view body) { return post("/v1/completions", body); };
  const Case cases[] = {
      {completions("{"), 400, R"("type":"invalid_request_error","param":null,"code":null}})"},
      {completions("[]"), 400, R"("param":null,"code":null}})"},
      {completions(R"({"a":1})"), 400, R"("param":"model","code":null}})"},
      {completions(R"({"model":7})"), 400, R"("param":"model","code":null}})"},
      {completions(R"({"model":"a","model":"b"})"), 400, R"("param":"model","code":null}})"},
      {completions(R"({"model":"x"})"), 404, R"("param":"model","code":"model_not_found"}})"},
      {get("/v2/nothing"), 404, R"("code":"not_found"}})"},
      {get("/metrics"), 404, R"("code":"not_found"}})"},
      {post("/v1/../metrics", "{}"), 404, R"("code":"not_found"}})"},
      {post("/v1/%2e%2e/metrics", "{}"), 404, R"("code":"not_found"}})"},
      {get("/v1/chat/completions"), 405, R"("code":"method_not_allowed"}})"},
      {post("/v1/models", "{}"), 405, R"("code":"method_not_allowed"}})"},
      {request_text("GET", "/gateways/unknown/v1/models", ""), 404, R"("code":"not_found"}})"},
      {get("/v1/models", "", ""), 401, R"("code":"invalid_api_key"}})"},
      {get("/v1/models", "", foreign_key), 403, R"("code":"permission_denied"}})"},
  };
  for (const Case& one : cases) {
    const Message answer = world.ask(one.request);
    EXPECT_EQ(answer.status(), one.status) << one.request;
    EXPECT_EQ(answer.header("content-type"), "application/json");
    EXPECT_TRUE(answer.body.starts_with(R"({"error":{"message":")")) << answer.body;
    EXPECT_TRUE(answer.body.ends_with(one.end)) << answer.body;
    EXPECT_EQ(answer.body.find("detail"), std::string::npos);
  }
  EXPECT_EQ(engine.connection_count(), 0u);
}

TEST_F(Bodies, O03_fields_that_only_an_engine_knows_pass_both_ways) {
  const std::string body =
      R"({"model":"model-a","prompt_logprobs":1,"guided_json":{"a":[1]},"chat_template_kwargs":{}})";
  const std::string reply = R"({"prompt_logprobs":[null],"nvext":{"timing":1}})";
  RawPeer client = world.connect();
  world.send(client, post("/v1/completions", body));
  EXPECT_EQ(world.at_engine(engine).body, body);
  engine.peer(0).send(answer_with(reply));
  EXPECT_EQ(world.answer(client).body, reply);
}

TEST_F(Bodies, O04_the_body_reaches_the_engine_byte_for_byte) {
  const std::string body =
      "{ \"seed\" : 4611686018427387904 ,\n\"temperature\":1.0e-0, \"model\" :\t\"model-a\", "
      "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u00e9\\n\"}]},"
      "{\"content\":null,\"tool_calls\":[{\"id\":\"x\"}]}],\"n\":2,\"logprobs\":true}\r\n";
  EXPECT_EQ(forwarded(post("/v1/chat/completions", body)).body, body);
}

TEST_F(Bodies, O04_escapes_in_the_models_name_and_key_are_understood) {
  const std::string body = "{\"mod\\u0065l\":\"model\\u002da\"}";
  EXPECT_EQ(forwarded(post("/v1/chat/completions", body)).body, body);
}

TEST_F(Bodies, O05_every_path_below_v1_is_passed_on_by_model) {
  for (const std::string_view path :
       {"/v1/embeddings", "/v1/rerank", "/v1/audio/speech", "/v1/responses", "/v1/score",
        "/tokenize", "/detokenize", "/v1/anything/else"}) {
    const Message seen = forwarded(post(path, R"({"model":"model-a","encoding_format":"base64"})"));
    EXPECT_EQ(seen.first_line, fmt::format("POST {} HTTP/1.1", path));
  }
}

TEST_F(Bodies, O05_binary_answers_come_through_intact) {
  std::string audio;
  for (int i = 0; i < 70'000; ++i) audio += static_cast<char>(i * 7);
  engine.script = [&](const Message&) {
    return answer_with(audio, "200 OK", "Content-Type: audio/mpeg\r\n");
  };
  const Message answer = world.ask(post("/v1/audio/speech", R"({"model":"model-a"})"));
  EXPECT_EQ(answer.header("content-type"), "audio/mpeg");
  EXPECT_TRUE(answer.body == audio);
}

TEST_F(Bodies, O05_transcriptions_name_their_model_in_a_form) {
  const std::string form =
      "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n"
      "Content-Type: audio/wav\r\n\r\nRIFF\r\n\r\n\x01\x02--xy\r\n"
      "--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nmodel-a\r\n--xyz--\r\n";
  const Message seen = forwarded(post("/v1/audio/transcriptions", form,
                                      "Content-Type: multipart/form-data; boundary=xyz\r\n"));
  EXPECT_EQ(seen.body, form);
}

TEST_F(Bodies, O06_the_models_are_listed_without_asking_a_replica) {
  world.deployment("dep-b") = {
      .id = "dep-b", .model = "a-model", .created_at = Timestamp{std::chrono::seconds(100)}};
  world.deployment("dep-c") = {.id = "dep-c", .model = "off", .is_disabled = true};
  world.publish();
  const Message answer = world.ask(get("/v1/models"));
  EXPECT_EQ(answer.body,
            R"({"object":"list","data":[{"id":"a-model","object":"model","created":100,)"
            R"("owned_by":"org001"},{"id":"model-a","object":"model","created":0,)"
            R"("owned_by":"org001"}]})");
  EXPECT_EQ(engine.connection_count(), 0u);
}

TEST_F(Bodies, O08_an_error_in_words_reaches_the_client_as_json) {
  for (const std::string type : {"text/plain; charset=utf-8", "text/html"}) {
    engine.script = [&type](const Message&) {
      return answer_with("Service \"Busy\"", "503 Service Unavailable",
                         "Content-Type: " + type + "\r\nRetry-After: 7\r\n");
    };
    const Message answer = world.ask(chat());
    EXPECT_EQ(answer.status(), 503);
    EXPECT_EQ(answer.header("content-type"), "application/json");
    EXPECT_EQ(answer.count("content-type"), 1u);
    EXPECT_EQ(answer.header("retry-after"), "7");
    EXPECT_EQ(answer.body,
              R"({"error":{"message":"Service \"Busy\"","type":"server_error","param":null,)"
              R"("code":null}})");
  }
}

TEST_F(Bodies, O08_a_long_page_is_cut_and_other_text_passes) {
  engine.script = [](const Message&) {
    return answer_with(std::string(1'000'000, 'x'), "404 Not Found", "Content-Type: text/html\r\n");
  };
  EXPECT_LT(world.ask(chat()).body.size(), 5'000u);
  engine.script = [](const Message&) {
    return answer_with("hello", "200 OK", "Content-Type: text/plain\r\n");
  };
  EXPECT_EQ(world.ask(chat()).body, "hello");
}

TEST_F(Bodies, an_engine_that_answers_before_it_has_read_everything_is_heard) {
  const std::string body = R"({"model":"model-a","p":")" + std::string(8'000'000, 'x') + "\"}";
  RawPeer client = world.connect();
  world.send(client, post("/v1/completions", body));
  ASSERT_TRUE(world.until([&] { return engine.connection_count() == 1; }));
  engine.peer(0).send(answer_with("too long", "413 Content Too Large"));
  EXPECT_EQ(world.answer(client).status(), 413);
}

// Bodies in which no model is looked for pass through as they come.
class PassingBodies : public Bodies {
 protected:
  PassingBodies() : Bodies({.body_bytes_max = 1'000'000}) {
    world.route.routing = Routing::header;
    world.route.header_name = "X-Model-Name";
    world.publish();
  }
  static std::string head(std::string_view framing) {
    return fmt::format(
        "POST /gateways/gw/v1/audio HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n"
        "X-Model-Name: model-a\r\nContent-Type: audio/wav\r\n{}\r\n\r\n",
        key, framing);
  }
};

TEST_F(PassingBodies, reach_the_engine_before_they_are_whole) {
  RawPeer client = world.connect();
  world.send(client, head("Content-Length: 10") + "12345");
  ASSERT_TRUE(world.until([&] {
    return engine.connection_count() == 1 && engine.peer(0).has_received("\r\n\r\n12345");
  }));
  world.send(client, "67890");
  EXPECT_EQ(world.at_engine(engine).body, "1234567890");
  engine.peer(0).send(answer_with("{}"));
  EXPECT_EQ(world.answer(client).status(), 200);
}

TEST_F(PassingBodies, have_no_size_limit_and_keep_their_chunked_framing) {
  RawPeer client = world.connect();
  world.send(client, head("Transfer-Encoding: chunked"));
  const std::string piece(1'000'000, 'a');
  engine.is_reading = true;  // or the kernel's buffers end it
  for (int i = 0; i < 5; ++i) world.send(client, chunk(piece));
  world.send(client, last_chunk);
  const Message seen = world.at_engine(engine);
  EXPECT_EQ(seen.body.size(), 5'000'000u);
}

TEST_F(PassingBodies, wait_for_an_engine_that_does_not_read) {
  RawPeer client = world.connect();
  world.send(client, head("Content-Length: 100000000"));
  const std::string piece(1'000'000, 'a');
  std::size_t sent_bytes = 0;
  int stuck_count = 0;
  world.until([&] {
    const std::size_t taken = client.send_some(piece);
    sent_bytes += taken;
    stuck_count = taken == 0 ? stuck_count + 1 : 0;
    return stuck_count > 20 || sent_bytes > 64'000'000;
  });
  EXPECT_LT(sent_bytes, 32'000'000u);
}

TEST_F(PassingBodies, R04_are_sent_elsewhere_when_the_first_replica_refuses) {
  FakeEngine& other = world.add_engine();
  for (int i = 0; i < 6; ++i) {
    other.script = [](const Message& seen) { return answer_with(seen.body); };
    engine.refuse_connections();
    RawPeer client = world.connect();
    world.send(client, head("Content-Length: 10") + "12345");
    world.settle();
    world.send(client, "67890");
    const Message answer = world.answer(client);
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.body, "1234567890");
  }
}

TEST_F(PassingBodies, are_answered_at_once_when_their_engine_dies) {
  RawPeer client = world.connect();
  world.send(client, head("Content-Length: 10") + "12345");
  ASSERT_TRUE(world.until(
      [&] { return engine.connection_count() == 1 && engine.peer(0).has_received("12345"); }));
  engine.peer(0).close_with_reset();
  EXPECT_EQ(world.answer(client).status(), 502);
}

}  // namespace
}  // namespace staithe::gateway
