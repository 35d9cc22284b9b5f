#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "gateway/testing/call.h"

// What metrics tell of requests under way and of streams that are over.
namespace staithe::gateway {
namespace {

using namespace testing;
using std::chrono::milliseconds;

class Phases : public ::testing::TestWithParam<Transport> {
 protected:
  // The value of a series, by its name and labels as they are drawn; -1: there is none.
  double value(const std::string& series) {
    const std::string all = world.metrics();
    const auto at = all.find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::stod(all.substr(at + series.size() + 2));
  }
  // The phases that somebody is in.
  std::string phases() {
    std::string text;
    for (const auto phase : {"auth", "receiving", "queued", "connecting", "waiting", "streaming"}) {
      const double count =
          value(fmt::format("staithe_gateway_open_requests{{phase=\"{}\"}}", phase));
      if (count != 0) text += fmt::format("{}={} ", phase, count);
    }
    return text;
  }
  ::testing::AssertionResult reaches(const std::string& expected, Call& call) {
    const bool is_reached = world.until([&] {
      call.poll();
      return phases() == expected;
    });
    if (is_reached) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << phases();
  }

  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
};

INSTANTIATE_TEST_SUITE_P(Both, Phases, ::testing::Values(Transport::http1, Transport::http2),
                         transport_name);

TEST_P(Phases, M05_a_gauge_shows_where_each_request_is) {
  EXPECT_EQ(phases(), "");
  Call call(world, GetParam(), {.is_whole = false});
  EXPECT_TRUE(reaches("receiving=1 ", call));
  call.send_last('}');
  EXPECT_TRUE(reaches("waiting=1 ", call));
  engine.peer(0).send(std::string(stream_head));
  EXPECT_TRUE(reaches("streaming=1 ", call));

  world.deployment("dep-a").concurrency = 1;
  world.publish();
  Call second(world, GetParam());
  EXPECT_TRUE(reaches("queued=1 streaming=1 ", second));
  engine.peer(0).forget_received();
  engine.peer(0).send(std::string(last_chunk));
  EXPECT_TRUE(reaches("waiting=1 ", second));
  second.hang_up();
  EXPECT_TRUE(world.until([&] {
    second.poll();
    return phases().empty();
  })) << phases();
}

TEST_P(Phases, M05_every_way_out_leaves_nobody_behind) {
  engine.script = [](const Message&) { return answer_with("{}"); };
  Call(world, GetParam()).answer();
  Call(world, GetParam(), {.authorization = "wrong"}).answer();
  Call(world, GetParam(), {.body = "no JSON"}).answer();
  Call(world, GetParam(), {.path = "/v1/chat/completions/../x"}).answer();
  engine.script = [](const Message&) { return std::string("nonsense\r\n\r\n"); };
  Call(world, GetParam()).answer();
  world.settle();
  EXPECT_EQ(phases(), "");
}

TEST_P(Phases, M02_the_time_per_token_leaves_out_the_first_and_counts_tokens_not_chunks) {
  Options options;
  UsageBook book;
  options.usage = &book;
  GatewayWorld counting(options);
  FakeEngine& counted = counting.add_engine();
  Call call(counting, GetParam(),
            {.body = R"({"model":"model-a","stream":true,"stream_options":{"include_usage":true},)"
                     R"("messages":[]})"});
  counting.at_engine(counted);
  counting.advance(milliseconds(2'000));
  // Ten tokens in four chunks.
  counted.peer(0).send(std::string(stream_head));
  for (const auto text : {"one", "two three four", "five six seven", "eight nine ten"}) {
    counted.peer(0).send(chunk(fmt::format(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", text)));
    counting.settle();
    counting.advance(milliseconds(300));
  }
  counted.peer(0).send(
      chunk("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":10,"
            "\"total_tokens\":15}}\n\ndata: [DONE]\n\n") +
      std::string(last_chunk));
  call.answer();
  const std::string all = counting.metrics();
  const auto number = [&all](const std::string& series) {
    const auto at = all.find("\n" + series + "{gateway=\"gw\",deployment=\"dep-a\"} ");
    return at == std::string::npos ? -1 : std::stod(all.substr(all.find("} ", at) + 2));
  };
  EXPECT_EQ(number("staithe_gateway_time_per_output_token_seconds_count"), 1);
  EXPECT_NEAR(number("staithe_gateway_time_per_output_token_seconds_sum"), 1.2 / 9, 0.001);
  EXPECT_NEAR(number("staithe_gateway_time_to_first_byte_seconds_sum"), 2.0, 0.001);
}

TEST_P(Phases, M02_a_stream_that_does_not_tell_its_tokens_is_not_guessed_at) {
  Options options;
  UsageBook book;
  options.usage = &book;
  options.may_ask_for_usage = false;
  GatewayWorld counting(options);
  FakeEngine& counted = counting.add_engine();
  Call call(counting, GetParam());
  counting.at_engine(counted);
  counted.peer(0).send(std::string(stream_head));
  for (int i = 0; i < 4; ++i) {
    counted.peer(0).send(chunk("data: {\"choices\":[{\"index\":0,\"delta\":{}}]}\n\n"));
  }
  counted.peer(0).send(std::string(last_chunk));
  call.answer();
  EXPECT_NE(counting.metrics().find("staithe_gateway_time_per_output_token_seconds_count{gateway="
                                    "\"gw\",deployment=\"dep-a\"} 0"),
            std::string::npos);
}

TEST_P(Phases, M03_every_choice_of_a_replica_is_counted_by_its_reason) {
  engine.script = [](const Message&) { return answer_with("{}"); };
  const auto choices = [this](std::string_view reason) {
    return world.metric("staithe_gateway_replica_choices_total", "dep-a",
                        fmt::format("reason=\"{}\"", reason));
  };
  const std::string prompt(20'000, 'p');
  const std::string with_prompt = R"({"model":"model-a","prompt":")" + prompt + R"("})";
  const auto ask = [&](const std::string& body, net::testing::Fields more = {}) {
    more.emplace_back("content-type", "application/json");
    EXPECT_EQ(Call(world, GetParam(), {.body = body, .headers = more}).answer().status, 200);
  };
  ask(with_prompt);
  EXPECT_EQ(choices("only"), 1);
  world.add_engine().script = [](const Message&) { return answer_with("{}"); };
  ask(with_prompt);
  EXPECT_EQ(choices("prefix"), 1);
  ask(R"({"model":"model-a"})");
  EXPECT_EQ(choices("load"), 1);
  ask(R"({"model":"model-a"})", {{"x-session-id", "s"}});
  ask(R"({"model":"model-a"})", {{"x-session-id", "s"}});
  EXPECT_EQ(choices("session"), 1);
  EXPECT_EQ(choices("load"), 2);
}

}  // namespace
}  // namespace staithe::gateway
