#include <gtest/gtest.h>

#include <string>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

// The clock stands still in these tests: what happens, happens at once and by no timer.
class Cancellation : public ::testing::Test {
 protected:
  bool engine_sees_the_end() {
    return world.until([&] { return engine.peer(0).is_gone(); });
  }

  GatewayWorld world{{.is_access_logged = true}};
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
};

TEST_F(Cancellation, C01_a_client_that_leaves_mid_stream_ends_the_engines_work) {
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk("data: 1\n\n") + chunk("data: 2\n\n"));
  ASSERT_TRUE(world.until([&] { return client.has_received("data: 2"); }));
  client.close();
  EXPECT_TRUE(engine_sees_the_end());
  EXPECT_EQ(world.in_flight(), 0u);
  EXPECT_EQ(world.requests("client_gone"), 1);
  EXPECT_NE(world.logged().find("\"status\":\"499\""), std::string::npos) << world.logged();
}

TEST_F(Cancellation, C01_so_does_one_that_resets) {
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk("data: 1\n\n"));
  ASSERT_TRUE(world.until([&] { return client.has_received("data: 1"); }));
  client.close_with_reset();
  EXPECT_TRUE(engine_sees_the_end());
}

TEST_F(Cancellation, C01_so_does_one_that_leaves_while_it_does_not_read) {
  client = world.connect(4096);
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head));
  const std::string event = chunk(std::string(64 * 1024, 'x'));
  int stuck_count = 0;
  std::string_view rest = event;
  ASSERT_TRUE(world.until([&] {
    const std::size_t taken = engine.peer(0).send_some(rest);
    rest.remove_prefix(taken);
    if (rest.empty()) rest = event;
    stuck_count = taken == 0 ? stuck_count + 1 : 0;
    return stuck_count > 20;
  }));
  client.close();
  EXPECT_TRUE(engine_sees_the_end());
  EXPECT_EQ(world.in_flight(), 0u);
}

TEST_F(Cancellation, C02_a_client_that_leaves_before_a_whole_answer_ends_the_engines_work) {
  world.send(client, post("/v1/chat/completions", R"({"model":"model-a"})"));
  world.at_engine(engine);
  client.close();
  EXPECT_TRUE(engine_sees_the_end());
  EXPECT_EQ(world.in_flight(), 0u);
}

TEST_F(Cancellation, C03_a_client_that_leaves_before_the_first_byte_ends_the_engines_work) {
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head));  // a head, and then silence
  ASSERT_TRUE(world.until([&] { return client.has_received("\r\n\r\n"); }));
  EXPECT_EQ(world.in_flight(), 1u);
  client.close();
  EXPECT_TRUE(engine_sees_the_end());
  EXPECT_EQ(world.in_flight(), 0u);
  EXPECT_EQ(world.requests("client_gone"), 1);
}

TEST_F(Cancellation, C03_a_client_that_leaves_within_its_own_body_never_reaches_an_engine) {
  const std::string request = chat();
  world.send(client, request.substr(0, request.size() - 5));
  world.settle();
  client.close();
  world.settle();
  EXPECT_EQ(engine.connection_count(), 0u);
  EXPECT_EQ(world.requests("client_gone", "none"), 1);
}

TEST_F(Cancellation, C05_aborted_requests_leave_nothing_counted) {
  for (int i = 0; i < 100; ++i) {
    RawPeer caller = world.connect();
    world.send(caller, chat());
    const auto index = static_cast<std::size_t>(i);
    world.at_engine(engine, index);
    ASSERT_EQ(world.in_flight(), 1u);
    if (i % 2 == 0) {
      engine.peer(index).send(std::string(stream_head) + chunk("data: 1\n\n"));
      ASSERT_TRUE(world.until([&] { return caller.has_received("data: 1"); }));
    }
    caller.close();
    ASSERT_TRUE(world.until([&] { return world.in_flight() == 0; })) << "round " << i;
  }
  engine.script = [](const Message&) { return answer_with("{}"); };
  EXPECT_EQ(world.ask(chat()).status(), 200);
  EXPECT_EQ(world.metric("staithe_gateway_in_flight_requests"), 0);
}

TEST(CancellationByTime, C05_a_timed_out_request_leaves_nothing_counted) {
  Options options;
  options.upstream.first_byte = std::chrono::seconds(3);
  GatewayWorld world(options);
  FakeEngine& engine = world.add_engine();
  for (std::size_t i = 0; i < 10; ++i) {
    RawPeer client = world.connect();
    world.send(client, chat());
    world.at_engine(engine, i);
    world.advance(std::chrono::seconds(4));
    EXPECT_EQ(world.answer(client).status(), 504);
    EXPECT_EQ(world.in_flight(), 0u);
    EXPECT_TRUE(world.until([&] { return engine.peer(i).is_gone(); }));
  }
}

}  // namespace
}  // namespace staithe::gateway
