#include <gtest/gtest.h>

#include <string>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view hints_missing =
    "staithe_gateway_replica_choices_without_engine_metrics_total";

class HintsPollerTest : public ::testing::Test {
 protected:
  // An engine that keeps requests waiting and answers questions for its metrics.
  FakeEngine& add_engine(const std::string& metrics) {
    FakeEngine& engine = world.add_engine();
    engine.script = [this, metrics](const Message& request) {
      if (request.first_line == "GET /metrics HTTP/1.1") {
        ++asked_count;
        return metrics.empty() ? answer_with("", "404 Not Found") : answer_with(metrics);
      }
      return is_answering ? answer_with("{}") : std::string(stream_head);
    };
    return engine;
  }

  GatewayWorld world{{.engine_metrics_interval = seconds(1)}};
  int asked_count = 0;
  bool is_answering = false;
};

TEST_F(HintsPollerTest, L10_hints_count_while_engines_tell_and_not_after) {
  add_engine("vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n");
  add_engine("vllm:num_requests_running 40\nvllm:num_requests_waiting 9\n");
  RawPeer busy = world.connect();
  world.send(busy, chat());
  world.settle();
  EXPECT_EQ(world.metric(hints_missing), 1);
  world.advance(seconds(1));
  ASSERT_TRUE(world.until([&] { return asked_count == 2; }));
  world.settle();
  // The first has one of our requests at most; the second is full of others'.
  is_answering = true;
  for (int i = 0; i < 10; ++i) {
    const Message answer = world.ask(
        post("/v1/completions", R"({"model":"model-a"})", "staithe-routing: explain\r\n"));
    EXPECT_TRUE(answer.header("staithe-routing").starts_with("replica=dep-a-1;"))
        << answer.header("staithe-routing");
    EXPECT_TRUE(answer.header("staithe-routing").ends_with("engine_metrics=fresh"));
  }
  EXPECT_EQ(world.metric(hints_missing), 1);
}

TEST_F(HintsPollerTest, nobody_is_asked_while_there_is_nothing_to_balance) {
  add_engine("vllm:num_requests_running 1\n");
  add_engine("vllm:num_requests_running 1\n");
  for (int i = 0; i < 5; ++i) world.advance(seconds(1));
  EXPECT_EQ(asked_count, 0);
}

TEST_F(HintsPollerTest, one_that_tells_nothing_is_left_alone_for_a_while) {
  add_engine("");
  add_engine("");
  RawPeer busy = world.connect();
  world.send(busy, chat());
  world.settle();
  for (int i = 0; i < 20; ++i) world.advance(seconds(1));
  EXPECT_EQ(asked_count, 2);
  for (int i = 0; i < 20; ++i) world.advance(seconds(1));
  EXPECT_EQ(asked_count, 4);
  EXPECT_EQ(world.in_flight("dep-a-1") + world.in_flight("dep-a-2"), 1u)
      << "questions do not count";
}

TEST(EngineHints, one_of_several_loops_asks_in_an_interval) {
  EngineHints hints;
  const Instant now{seconds(1000)};
  EXPECT_TRUE(hints.claim(now, milliseconds(500)));
  EXPECT_FALSE(hints.claim(now, milliseconds(500)));
  EXPECT_FALSE(hints.claim(now + milliseconds(499), milliseconds(500)));
  EXPECT_TRUE(hints.claim(now + milliseconds(500), milliseconds(500)));
}

}  // namespace
}  // namespace staithe::gateway
