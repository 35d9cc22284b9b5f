#include "net/blocking_client.h"

#include <gtest/gtest.h>

#include <string>

#include "base/thread.h"
#include "net/loopback_test_kit.h"
#include "net/tls_test_kit.h"

namespace staithe::net {
namespace {

using testing::Identity;
using testing::listen_on_loopback;
using testing::ScriptedRouter;
using testing::Seen;
using testing::TemporaryFolder;

// A server on a thread of its own.
class BlockingClientTest : public ::testing::Test {
 protected:
  BlockingClientTest()
      : server_(loop_, router_, take_listener(), {}, {TlsPolicy::Speech::both, &contexts_}) {}
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

  Result<BlockingAnswer> get_securely(const std::string& host, const std::string& ca_file) {
    return send_blocking(
        {.host = host, .port = port_, .tls = TlsClientContext::load(ca_file).value()});
  }

  TemporaryFolder folder_;
  const Identity authority_{{.name = "test authority", .is_authority = true}};
  const Identity identity_{{.alternative_names = "DNS:localhost"}, &authority_};
  const std::string ca_file_ = folder_.write("ca.pem", authority_.certificate_pem());
  TlsContextSlot contexts_{
      TlsContext::load({.certificate = folder_.write("cert.pem", identity_.certificate_pem()),
                        .key = folder_.write("key.pem", identity_.key_pem())})
          .value()};
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

TEST_F(BlockingClientTest, talks_tls_to_a_server_it_trusts) {
  const std::string body(3'000'000, 'x');
  router_.when_ended = [&body](Seen& seen) {
    EXPECT_TRUE(seen.exchange->is_secure());
    ScriptedRouter::answer(seen, body);
  };
  serve();
  const auto answer = get_securely("localhost", ca_file_);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, body);
}

TEST_F(BlockingClientTest, refuses_a_server_that_no_trusted_authority_vouches_for) {
  serve();
  const Identity other({.name = "another authority", .is_authority = true});
  const auto answer =
      get_securely("localhost", folder_.write("other.pem", other.certificate_pem()));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unavailable);
  EXPECT_NE(answer.error().message.find("unable to get local issuer certificate"),
            std::string::npos)
      << answer.error().message;
  EXPECT_NE(answer.error().message.find("--ca-file"), std::string::npos);
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(BlockingClientTest, refuses_a_server_whose_certificate_is_for_another_host) {
  serve();
  const auto answer = get_securely("127.0.0.1", ca_file_);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unavailable);
  EXPECT_NE(answer.error().message.find("IP address mismatch"), std::string::npos)
      << answer.error().message;
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(BlockingClientTest, an_answer_cut_off_within_tls_is_an_error) {
  // To HTTP/1.1 an answer without a length is whole when the connection ends; TLS tells a proper
  // end.
  testing::RawListener listener;
  Thread server("server", [&] {
    EventLoop loop(clock_);
    testing::RawPeer peer = listener.accept(loop);
    const auto session = contexts_.current()->accept();
    std::string room(200'000, ' ');
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) {
      loop.run_once(std::chrono::milliseconds(1));
      const std::string sealed = peer.received();
      peer.forget_received();
      request += session->open(sealed, room);
      peer.send(session->outgoing().view());
      session->outgoing().clear();
    }
    session->seal("HTTP/1.1 200 OK\r\n\r\nhalf of it");
    peer.send(session->outgoing().view());
  });
  const auto answer = send_blocking({.host = "localhost",
                                     .port = listener.port(),
                                     .tls = TlsClientContext::load(ca_file_).value()});
  server.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "the connection was cut off");
}

TEST_F(BlockingClientTest, says_so_when_the_server_speaks_no_tls) {
  testing::RawListener listener;
  Thread server("server", [&] {
    EventLoop loop(clock_);
    listener.accept(loop).close();
  });
  const auto answer = send_blocking({.host = "localhost",
                                     .port = listener.port(),
                                     .tls = TlsClientContext::load(ca_file_).value()});
  server.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unavailable);
}

}  // namespace
}  // namespace staithe::net
