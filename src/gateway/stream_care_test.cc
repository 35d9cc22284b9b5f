#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "gateway/responses_watch.h"
#include "gateway/testing/call.h"

// What is done for streams: comments while they are quiet, a proper end when they break, a limit.
namespace staithe::gateway {
namespace {

using namespace testing;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string comment = ": keep-alive\n\n";
const std::string event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";

class StreamCare : public ::testing::TestWithParam<Transport> {
 protected:
  void serve(const Options& options = {}) {
    world.emplace(options);
    engine = &world->add_engine();
  }
  void call(Call::Request request = {}) {
    client.emplace(*world, GetParam(), std::move(request));
    world->at_engine(*engine);
  }
  bool client_sees(std::string_view body) {
    return world->until([&] { return client->so_far().body == body; });
  }
  void send(std::string_view bytes) { engine->peer(0).send(std::string(bytes)); }

  std::optional<GatewayWorld> world;
  FakeEngine* engine = nullptr;
  std::optional<Call> client;
};

INSTANTIATE_TEST_SUITE_P(Both, StreamCare, ::testing::Values(Transport::http1, Transport::http2),
                         transport_name);

TEST_P(StreamCare, S10_a_quiet_stream_gets_a_comment_every_interval) {
  serve({.sse_keepalive_interval = seconds(1)});
  call();
  send(stream_head);
  ASSERT_TRUE(world->until([&] { return client->so_far().status == 200; }));
  std::string expected;
  for (int i = 0; i < 3; ++i) {
    world->advance(milliseconds(900));
    EXPECT_TRUE(client_sees(expected));
    world->advance(milliseconds(110));
    EXPECT_TRUE(client_sees(expected += comment));
  }
  EXPECT_EQ(world->metrics().find("staithe_gateway_time_to_first_byte_seconds_count{gateway=\"gw\","
                                  "deployment=\"dep-a\"} 1"),
            std::string::npos)
      << "a comment is no first token";
  send(chunk(event));
  EXPECT_TRUE(client_sees(expected += event));
  world->advance(milliseconds(900));
  EXPECT_TRUE(client_sees(expected)) << "an event is as good as a comment";
  send(chunk("data: [DONE]\n\n") + std::string(last_chunk));
  EXPECT_EQ(client->answer().body, expected + "data: [DONE]\n\n");
  world->advance(seconds(5));
}

TEST_P(StreamCare, S10_a_comment_never_gets_into_an_event) {
  serve({.sse_keepalive_interval = seconds(1)});
  call();
  send(std::string(stream_head) + chunk(event.substr(0, 20)));
  ASSERT_TRUE(client_sees(event.substr(0, 20)));
  world->advance(seconds(3));
  send(chunk(event.substr(20, event.size() - 21)));
  ASSERT_TRUE(client_sees(event.substr(0, event.size() - 1)));
  world->advance(seconds(3));
  EXPECT_TRUE(client_sees(event.substr(0, event.size() - 1)));
  send(chunk("\n"));
  ASSERT_TRUE(client_sees(event));
  world->advance(milliseconds(1'100));
  EXPECT_TRUE(client_sees(event + comment));
}

TEST_P(StreamCare, S10_there_is_none_before_the_engine_answers_nor_in_other_answers) {
  serve({.sse_keepalive_interval = seconds(1)});
  call();
  world->advance(seconds(5));
  EXPECT_EQ(client->so_far().status, 0);
  send(
      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{\"");
  ASSERT_TRUE(world->until([&] { return client->so_far().status == 400; }));
  world->advance(seconds(5));
  send("\"}");
  EXPECT_EQ(client->answer().body, "{\"\"}");
}

TEST_P(StreamCare, S10_by_default_a_quiet_stream_stays_quiet) {
  serve();
  call();
  send(std::string(stream_head) + chunk(event));
  ASSERT_TRUE(client_sees(event));
  world->advance(seconds(600));
  EXPECT_TRUE(client_sees(event));
}

TEST_P(StreamCare, S10_a_stream_that_breaks_while_it_is_quiet_ends_as_ever) {
  serve({.sse_keepalive_interval = seconds(1)});
  call();
  send(std::string(stream_head) + chunk(event));
  ASSERT_TRUE(client_sees(event));
  world->advance(milliseconds(1'100));
  ASSERT_TRUE(client_sees(event + comment));
  engine->peer(0).close_with_reset();
  EXPECT_TRUE(client->answer().body.starts_with(event + comment + "data: {\"error\":{"));
}

const std::string created =
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,"
    "\"response\":{\"id\":\"resp_42\",\"object\":\"response\",\"status\":\"in_progress\"}}\n\n";
const std::string delta =
    "event: response.output_text.delta\ndata: {\"type\": \"response.output_text.delta\", "
    "\"item_id\": \"msg_1\", \"delta\": \"\\\"sequence_number\\\":99\", \"sequence_number\": "
    "1}\n\n";
const std::string completed =
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,"
    "\"response\":{\"id\":\"resp_42\",\"status\":\"completed\"}}\n\n";

TEST_P(StreamCare, S16_a_stream_of_responses_that_breaks_ends_with_that_apis_event) {
  serve();
  call({.path = "/v1/responses"});
  // Cut where it hurts.
  const std::string both = created + delta;
  send(std::string(stream_head) + chunk(both.substr(0, 80)) + chunk(both.substr(80, 9)) +
       chunk(both.substr(89)));
  ASSERT_TRUE(client_sees(both));
  engine->peer(0).close_with_reset();
  const auto answer = client->answer();
  EXPECT_TRUE(answer.is_whole);
  EXPECT_EQ(
      answer.body.substr(both.size()),
      "event: response.failed\n"
      "data: {\"type\":\"response.failed\",\"sequence_number\":2,"
      "\"response\":{\"id\":\"resp_42\",\"object\":\"response\",\"status\":\"failed\","
      "\"error\":{\"code\":\"server_error\",\"message\":\"The model server broke off before it "
      "answered.\"},\"incomplete_details\":null,\"output\":[]}}\n\n");
}

TEST_P(StreamCare, S16_half_an_event_is_closed_first_and_an_unknown_id_is_the_requests) {
  serve();
  call({.path = "/v1/responses?x=1"});
  send(std::string(stream_head) + chunk("data: {\"type\":"));
  ASSERT_TRUE(client_sees("data: {\"type\":"));
  engine->peer(0).close_with_reset();
  const auto answer = client->answer();
  EXPECT_TRUE(
      answer.body.starts_with("data: {\"type\":\n\nevent: response.failed\ndata: "
                              "{\"type\":\"response.failed\",\"response\":"
                              "{\"id\":\"resp_" +
                              answer.header("x-request-id") + "\""))
      << answer.body;
}

TEST_P(StreamCare, S16_a_response_that_was_completed_needs_no_goodbye) {
  serve();
  call({.path = "/v1/responses"});
  send(std::string(stream_head) + chunk(created + completed));
  ASSERT_TRUE(client_sees(created + completed));
  engine->peer(0).close_with_reset();
  const auto answer = client->answer();
  EXPECT_TRUE(answer.is_whole);
  EXPECT_EQ(answer.body, created + completed);
  EXPECT_EQ(world->requests("2xx"), 1);
}

TEST(ResponsesWatch, finds_its_values_however_the_stream_is_cut) {
  const std::string stream = created + delta;
  ResponsesWatch whole;
  whole.feed(stream);
  const std::string expected = whole.draw_failure("m", "x");
  EXPECT_NE(expected.find("\"sequence_number\":2"), std::string::npos);
  for (std::size_t size = 1; size < 20; ++size) {
    ResponsesWatch cut;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      cut.feed(std::string_view(stream).substr(at, size));
    }
    EXPECT_EQ(cut.draw_failure("m", "x"), expected) << size;
    EXPECT_FALSE(cut.is_done());
  }
}

TEST_P(StreamCare, R08_a_time_limit_ends_a_stream_with_an_error_event) {
  serve({.time_limit = seconds(60)});
  call();
  send(std::string(stream_head) + chunk(event));
  ASSERT_TRUE(client_sees(event));
  world->advance(seconds(59));
  EXPECT_FALSE(client->so_far().is_whole);
  world->advance(seconds(2));
  const auto answer = client->answer();
  EXPECT_TRUE(answer.is_whole);
  EXPECT_TRUE(answer.body.starts_with(event + "data: {\"error\":{\"message\":\"The request took"))
      << answer.body;
  EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
  EXPECT_TRUE(world->until([&] { return engine->peer(0).is_gone(); })) << "it must stop, too";
  EXPECT_EQ(world->metric("staithe_gateway_time_limit_total"), 1);
  EXPECT_EQ(world->in_flight(), 0u);
}

TEST_P(StreamCare, R08_a_time_limit_counts_from_the_head_and_is_504_before_the_answer) {
  serve({.time_limit = seconds(60)});
  call();
  world->advance(seconds(61));
  const auto answer = client->answer();
  EXPECT_EQ(answer.status, 504);
  EXPECT_NE(answer.body.find("\"code\":\"timeout\""), std::string::npos);
  EXPECT_TRUE(world->until([&] { return engine->peer(0).is_gone(); }));
}

TEST_P(StreamCare, R08_a_time_limit_holds_in_the_queue_too) {
  serve({.time_limit = seconds(60), .queue = {.wait_max = seconds(600)}});
  world->deployment("dep-a").concurrency = 1;
  world->publish();
  call();
  send(stream_head);
  world->advance(seconds(30));
  Call waiting(*world, GetParam());
  ASSERT_TRUE(world->until([&] {
    waiting.poll();
    return world->metric("staithe_gateway_queued_requests") == 1;
  }));
  world->deployment("dep-a").concurrency = 1;
  world->advance(seconds(31));
  EXPECT_EQ(client->answer().status, 200);
  EXPECT_TRUE(world->until([&] { return engine->request(1).has_value(); }))
      << "the one before was cut";
}

}  // namespace
}  // namespace staithe::gateway
