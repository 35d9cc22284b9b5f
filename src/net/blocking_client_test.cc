#include "net/blocking_client.h"

#include <gtest/gtest.h>

#include <string>

#include "base/thread.h"
#include "net/loopback_test_kit.h"

namespace staithe::net {
namespace {

using testing::listen_on_loopback;
using testing::ScriptedRouter;
using testing::Seen;

// A server on a thread of its own.
class BlockingClientTest : public ::testing::Test {
 protected:
  BlockingClientTest() : server_(loop_, router_, take_listener()) {}
  ~BlockingClientTest() override {
    if (thread_.is_running()) {
      loop_.stop();
      thread_.join();
    }
  }
  void serve() {
    thread_ = Thread("server", [this] { loop_.run(); });
  }
  Listener take_listener() {
    Listener listener = listen_on_loopback();
    port_ = listener.port;
    return listener;
  }

  const SystemClock clock_;
  EventLoop loop_{clock_};
  ScriptedRouter router_;
  std::uint16_t port_ = 0;
  HttpServer server_;
  Thread thread_;
};

TEST_F(BlockingClientTest, sends_a_request_and_returns_the_whole_answer) {
  router_.when_ended = [](Seen& seen) {
    AnswerHead head{.status = 201};
    const std::string value = seen.method + " " + seen.target + " " + seen.body;
    head.headers.add("X-Seen", value);
    seen.exchange->send_head(head);
    for (int i = 0; i < 1'000; ++i) seen.exchange->send_body(std::string(100, 'x'));
    seen.exchange->finish();
  };
  serve();
  const auto answer = send_blocking({.host = "localhost",
                                     .port = port_,
                                     .method = "POST",
                                     .target = "/a?b",
                                     .headers = {{"Accept", "x"}},
                                     .body = "hello"});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, std::string(100'000, 'x'));
  EXPECT_EQ(answer->headers.front().first, "x-seen");
  EXPECT_EQ(answer->headers.front().second, "POST /a?b hello");
}

TEST_F(BlockingClientTest, takes_answers_without_a_body) {
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({.status = 204});
    seen.exchange->finish();
  };
  serve();
  const auto answer = send_blocking({.host = "127.0.0.1", .port = port_});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 204);
  EXPECT_EQ(answer->body, "");
}

TEST_F(BlockingClientTest, is_unavailable_when_nobody_listens_or_the_answer_breaks_off) {
  std::uint16_t dead_port = 0;
  {
    const Listener listener = listen_on_loopback();
    dead_port = listener.port;
  }
  const auto refused = send_blocking({.host = "127.0.0.1", .port = dead_port});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);

  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("some");
    seen.exchange->abort();
  };
  serve();
  const auto broken = send_blocking({.host = "127.0.0.1", .port = port_});
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Code::unavailable);
}

TEST_F(BlockingClientTest, gives_up_on_a_slow_server_and_on_a_long_answer) {
  router_.when_ended = [](Seen& seen) {
    if (seen.target == "/long") ScriptedRouter::answer(seen, std::string(1'000, 'x'));
  };
  serve();
  const auto slow =
      send_blocking({.host = "127.0.0.1", .port = port_, .timeout = std::chrono::milliseconds(30)});
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, Code::deadline_exceeded);
  const auto long_one = send_blocking(
      {.host = "127.0.0.1", .port = port_, .target = "/long", .answer_bytes_max = 100});
  ASSERT_FALSE(long_one);
  EXPECT_EQ(long_one.error().code, Code::resource_exhausted);
}

}  // namespace
}  // namespace staithe::net
