#include <gtest/gtest.h>

#include <string>

#include "gateway/sse_tail.h"
#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

const std::string first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";
const std::string second =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"}}]}\n\n";
const std::string usage = "data: {\"choices\":[],\"usage\":{\"total_tokens\":20}}\n\n";
const std::string done = "data: [DONE]\n\n";

// Starts a stream and lets the client see `events` of it.
class Streaming : public ::testing::Test {
 protected:
  void open_stream(std::string_view events, std::string_view head = stream_head) {
    world.send(client, chat());
    request = world.at_engine(engine);
    engine.peer(0).send(std::string(head));
    engine.peer(0).send(chunk(events));
    ASSERT_TRUE(client_sees(events));
  }
  bool client_sees(std::string_view events) {
    return world.until([&] {
      const auto answer = parse_message(client.received());
      return answer && answer->body == events;
    });
  }

  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  Message request;
};

TEST_F(Streaming, S01_events_reach_the_client_byte_for_byte_with_usage_before_done) {
  open_stream(first);
  engine.peer(0).send(chunk(second) + chunk(usage) + chunk(done) + std::string(last_chunk));
  const Message answer = world.answer(client);
  EXPECT_EQ(answer.status(), 200);
  EXPECT_EQ(answer.header("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_TRUE(answer.is_whole);
  EXPECT_EQ(answer.body, first + second + usage + done);
}

TEST_F(Streaming, S04_completions_stream_like_chat) {
  const std::string body =
      R"({"model":"model-a","stream":true,"stream_options":{"include_usage":true}})";
  world.send(client, post("/v1/completions", body));
  request = world.at_engine(engine);
  EXPECT_EQ(request.first_line, "POST /v1/completions HTTP/1.1");
  EXPECT_EQ(request.body, body);
  engine.peer(0).send(std::string(stream_head) + chunk(first) + chunk(usage + done) +
                      std::string(last_chunk));
  EXPECT_EQ(world.answer(client).body, first + usage + done);
}

TEST_F(Streaming, S05_an_engine_that_dies_mid_stream_is_an_error_event_and_no_done) {
  open_stream(first + second + usage);
  engine.peer(0).close_with_reset();
  const Message answer = world.answer(client);
  EXPECT_TRUE(answer.is_whole) << "the body must end with valid framing";
  const std::string error = answer.body.substr((first + second + usage).size());
  EXPECT_TRUE(answer.body.starts_with(first + second + usage));
  EXPECT_TRUE(error.starts_with("data: {\"error\":{\"message\":")) << error;
  EXPECT_TRUE(error.ends_with("}}\n\n")) << error;
  EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
  EXPECT_EQ(answer.body.find("finish_reason"), std::string::npos);
  EXPECT_NE(world.logged().find("\"kind\":\"upstream_reset\""), std::string::npos);
  EXPECT_EQ(
      world.metric("staithe_gateway_upstream_failures_total", "dep-a", "kind=\"upstream_reset\""),
      1);
  EXPECT_EQ(world.in_flight(), 0u);
}

TEST_F(Streaming, S05_an_event_cut_in_its_middle_is_ended_before_the_error_event) {
  open_stream(first + "data: {\"cho");
  engine.peer(0).close();
  const Message answer = world.answer(client);
  EXPECT_TRUE(answer.is_whole);
  EXPECT_TRUE(answer.body.starts_with(first + "data: {\"cho\n\ndata: {\"error\":")) << answer.body;
}

TEST_F(Streaming, S05_an_engine_that_leaves_after_done_ends_the_stream_cleanly) {
  open_stream(first + done);
  engine.peer(0).close_with_reset();
  const Message answer = world.answer(client);
  EXPECT_TRUE(answer.is_whole);
  EXPECT_EQ(answer.body, first + done);
}

TEST_F(Streaming, S05_a_broken_answer_of_another_kind_ends_abnormally) {
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{\"id\":");
  ASSERT_TRUE(client_sees("{\"id\":"));
  engine.peer(0).close_with_reset();
  const Message answer = world.answer(client);
  EXPECT_FALSE(answer.is_whole);
  EXPECT_EQ(answer.body, "{\"id\":");
  EXPECT_TRUE(client.is_gone());
}

TEST_F(Streaming, S06_a_refusal_of_the_engine_passes_with_its_status_and_type) {
  const std::string refusal = R"({"error":{"message":"bad","type":"BadRequestError"}})";
  engine.script = [&](const Message&) { return answer_with(refusal, "400 Bad Request"); };
  const Message answer = world.ask(chat());
  EXPECT_EQ(answer.status(), 400);
  EXPECT_EQ(answer.header("content-type"), "application/json");
  EXPECT_EQ(answer.body, refusal);
}

TEST_F(Streaming, S08_bytes_go_through_as_they_come_whatever_they_are_parts_of) {
  const std::string event = "data: {\"content\":\"\xe2\x82\xac\"}\n\n";
  const auto cut = event.find('\x82');
  open_stream(event.substr(0, cut));
  engine.peer(0).send(chunk(event.substr(cut, event.size() - cut - 1)));
  ASSERT_TRUE(client_sees(event.substr(0, event.size() - 1)));
  engine.peer(0).send(chunk("\n"));
  ASSERT_TRUE(client_sees(event));
  engine.peer(0).send(std::string(last_chunk));
  EXPECT_TRUE(world.answer(client).is_whole);
}

TEST_F(Streaming, S11_a_stream_that_broke_is_not_begun_again_elsewhere) {
  // Whichever replica is chosen fails; the other must never hear of the request.
  FakeEngine& other = world.add_engine();
  world.send(client, chat());
  ASSERT_TRUE(world.until([&] { return engine.request(0) || other.request(0); }));
  FakeEngine& chosen = engine.request(0) ? engine : other;
  FakeEngine& healthy = &chosen == &engine ? other : engine;
  chosen.peer(0).send(std::string(stream_head) + chunk(first + second));
  ASSERT_TRUE(client_sees(first + second));
  chosen.peer(0).close_with_reset();
  EXPECT_NE(world.answer(client).body.find("\"error\""), std::string::npos);
  EXPECT_EQ(healthy.connection_count(), 0u);
}

TEST_F(Streaming, S12_each_chunk_is_delivered_before_the_next_one_exists) {
  std::string sent = first;
  open_stream(first);
  for (int i = 0; i < 20; ++i) {
    const std::string event = fmt::format("data: {{\"n\":{}}}\n\n", i);
    sent += event;
    engine.peer(0).send(chunk(event));
    ASSERT_TRUE(client_sees(sent)) << "event " << i << " was held back";
  }
}

TEST_F(Streaming, S13_proxies_on_the_way_are_asked_not_to_hold_events_back) {
  open_stream(first);
  const Message answer = *parse_message(client.received());
  EXPECT_EQ(answer.header("cache-control"), "no-cache, no-transform");
  EXPECT_EQ(answer.header("x-accel-buffering"), "no");
}

TEST_F(Streaming, S13_what_the_engine_says_about_caching_stands) {
  open_stream(first,
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
              "Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100\r\n\r\n");
  const Message answer = *parse_message(client.received());
  EXPECT_EQ(answer.header("cache-control"), "no-store");
  EXPECT_EQ(answer.count("cache-control"), 1u);
  EXPECT_FALSE(answer.has("keep-alive"));
}

TEST_F(Streaming, S14_a_stray_content_length_does_not_reach_the_client) {
  world.send(client, chat());
  world.at_engine(engine);
  const std::string events = first + done;
  engine.peer(0).send(fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{}",
      events.size(), events));
  const Message answer = world.answer(client);
  EXPECT_FALSE(answer.has("content-length"));
  EXPECT_TRUE(answer.is_chunked);
  EXPECT_TRUE(answer.is_whole);
  EXPECT_EQ(answer.body, events);
}

TEST_F(Streaming, S17_the_gauge_counts_a_stream_until_its_last_byte) {
  const std::string_view gauge = "staithe_gateway_in_flight_requests";
  world.send(client, chat());
  world.at_engine(engine);
  EXPECT_EQ(world.metric(gauge), 1);
  engine.peer(0).send(std::string(stream_head) + chunk(first));
  ASSERT_TRUE(client_sees(first));
  EXPECT_EQ(world.metric(gauge), 1);
  engine.peer(0).send(std::string(last_chunk));
  EXPECT_TRUE(world.answer(client).is_whole);
  EXPECT_EQ(world.metric(gauge), 0);
  EXPECT_EQ(world.requests("2xx"), 1);
}

TEST_F(Streaming, S18_tool_call_deltas_keep_every_field_and_their_order) {
  const std::string deltas =
      "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":"
      "{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n"
      "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":"
      "\":1}\"}}]}}]}\n\n";
  open_stream(deltas);
}

TEST_F(Streaming, S19_a_chunk_with_null_content_and_no_object_passes_unchanged) {
  open_stream("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n");
}

TEST_F(Streaming, a_client_that_does_not_read_slows_its_engine_and_costs_no_more_than_the_mark) {
  client = world.connect(4096);
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head));
  const std::string event = chunk("data: " + std::string(16 * 1024, 'x') + "\n\n");
  // The engine gets stuck well before this much has gone into a client that takes nothing.
  std::size_t sent_bytes = 0;
  std::string_view rest = event;
  int stuck_count = 0;
  world.until([&] {
    const std::size_t taken = engine.peer(0).send_some(rest);
    sent_bytes += taken;
    rest.remove_prefix(taken);
    if (rest.empty()) rest = event;
    stuck_count = taken == 0 ? stuck_count + 1 : 0;
    return stuck_count > 20 || sent_bytes > 64 * 1024 * 1024;
  });
  EXPECT_LT(sent_bytes, 32u * 1024 * 1024);
  // Once it reads again, everything comes through.
  ASSERT_TRUE(world.until([&] {
    const std::size_t taken = engine.peer(0).send_some(rest);
    rest.remove_prefix(taken);
    client.received();
    return rest.empty();
  }));
  engine.peer(0).send(std::string(last_chunk));
  EXPECT_TRUE(world.answer(client).is_whole);
}

TEST(SseTail, tells_what_an_event_lacks) {
  const auto missing = [](std::initializer_list<std::string_view> pieces) {
    SseTail tail;
    for (const auto piece : pieces) tail.feed(piece);
    return std::string(tail.missing_end());
  };
  EXPECT_EQ(missing({}), "");
  EXPECT_EQ(missing({"data: a very long event indeed\n\n"}), "");
  EXPECT_EQ(missing({"data: a\n", "\n"}), "");
  EXPECT_EQ(missing({"data: a\r\n\r\n"}), "");
  EXPECT_EQ(missing({"data: a\r\n", "\r", "\n"}), "");
  EXPECT_EQ(missing({"data: a\r\r"}), "");
  EXPECT_EQ(missing({"data: a\n"}), "\n");
  EXPECT_EQ(missing({"data: a\r\n"}), "\n");
  EXPECT_EQ(missing({"data: a\r"}), "\n\n");
  EXPECT_EQ(missing({"data: a"}), "\n\n");
}

TEST(SseTail, knows_a_stream_that_said_done) {
  SseTail tail;
  tail.feed("data: {}\n\ndata: [DO");
  EXPECT_FALSE(tail.is_done());
  tail.feed("NE]\r\n\r");
  EXPECT_FALSE(tail.is_done());
  tail.feed("\n");
  EXPECT_TRUE(tail.is_done());
}

}  // namespace
}  // namespace staithe::gateway
