#include "net/http_client.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "net/loopback_test_kit.h"

namespace staithe::net {
namespace {

using std::chrono::milliseconds;
using testing::RawListener;
using testing::RawPeer;
using testing::run_turns;
using testing::run_until;
using Kind = ClientFailure::Kind;

class RecordingHandler final : public ClientHandler {
 public:
  std::function<void()> when_connected = [] {};
  std::function<void()> when_head = [] {};
  std::function<void()> when_body = [] {};
  std::function<void()> when_ended = [] {};
  std::function<void()> when_failed = [] {};

  void on_connected() override {
    is_connected = true;
    when_connected();
  }
  void on_head(const ResponseHead& head) override {
    status = head.status;
    when_head();
  }
  void on_body(std::string_view bytes) override {
    body += bytes;
    when_body();
  }
  void on_end() override {
    ++end_count;
    when_ended();
  }
  void on_failure(const ClientFailure& failed) override {
    ++end_count;
    failure = failed;
    when_failed();
  }
  void on_writable() override { ++writable_count; }

  bool is_over() const { return end_count > 0; }

  bool is_connected = false;
  std::uint16_t status = 0;
  std::string body;
  int end_count = 0;
  int writable_count = 0;
  std::optional<ClientFailure> failure;
};

class HttpClientTest : public ::testing::Test {
 protected:
  // A request whose exchange and handler live on in the test.
  struct Call {
    RecordingHandler handler;
    std::unique_ptr<ClientExchange> exchange;
  };
  std::unique_ptr<Call> start(const ClientRequest& request = {.method = "GET", .target = "/x"},
                              const ClientTimeouts& timeouts = {}) {
    auto call = std::make_unique<Call>();
    call->exchange = client_.start(endpoint(), request, timeouts, call->handler);
    return call;
  }
  Endpoint endpoint() const { return {.host = "127.0.0.1", .port = upstream_.port()}; }
  RawPeer accept() { return upstream_.accept(loop_); }
  bool until(const std::function<bool()>& is_done) { return run_until(loop_, is_done, 400); }
  bool receives(RawPeer& peer, std::string_view text) {
    return until([&] { return peer.has_received(text); });
  }
  // A connection in the pool, and its far end.
  RawPeer pool_one(std::string_view extra_headers = "") {
    const auto call = start();
    RawPeer peer = accept();
    CHECK(receives(peer, "\r\n\r\n"));
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + std::string(extra_headers) + "\r\n");
    CHECK(until([&] { return call->handler.is_over(); }));
    peer.forget_received();
    return peer;
  }

  FakeClock clock_;
  EventLoop loop_{clock_};
  RawListener upstream_;
  HttpClient client_{loop_};
};

TEST_F(HttpClientTest, sends_a_request_and_reads_an_answer_of_known_length) {
  ClientRequest request{.method = "GET", .target = "/x?y"};
  request.headers.add("Accept", "a");
  const auto call = start(request);
  EXPECT_FALSE(call->handler.is_connected);
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  EXPECT_EQ(peer.received(), "GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:" +
                                 std::to_string(upstream_.port()) + "\r\nAccept: a\r\n\r\n");
  peer.send("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Le");
  run_turns(loop_, 3);
  EXPECT_EQ(call->handler.status, 0);
  peer.send("ngth: 5\r\n\r\nhel");
  ASSERT_TRUE(until([&] { return call->handler.body == "hel"; }));
  EXPECT_EQ(call->handler.status, 404);
  EXPECT_FALSE(call->handler.is_over());
  peer.send("lo");
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(call->handler.body, "hello");
  EXPECT_FALSE(call->handler.failure);
  EXPECT_TRUE(call->handler.is_connected);
  EXPECT_EQ(client_.idle_connection_count(), 1u);
}

TEST_F(HttpClientTest, uses_a_pooled_connection_again) {
  RawPeer peer = pool_one();
  const auto call = start();
  ASSERT_TRUE(receives(peer, "GET /x"));
  EXPECT_EQ(client_.idle_connection_count(), 0u);
  peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(call->handler.body, "abc");
  EXPECT_FALSE(call->handler.is_connected);
}

TEST_F(HttpClientTest, pools_a_connection_after_chunks_only_once_it_has_stayed_open_for_a_while) {
  const std::string_view chunks =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (const bool does_peer_close : {true, false}) {
    const auto call = start();
    RawPeer peer = accept();
    ASSERT_TRUE(receives(peer, "GET /x"));
    peer.send(chunks);
    ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
    EXPECT_EQ(client_.idle_connection_count(), 0u);
    if (does_peer_close) {
      peer.close();
      run_turns(loop_, 5);
    }
    clock_.advance(milliseconds(100));
    run_turns(loop_, 5);
    EXPECT_EQ(client_.idle_connection_count(), does_peer_close ? 0u : 1u);
  }
  const auto next = start();
  EXPECT_EQ(client_.idle_connection_count(), 0u);
}

TEST_F(HttpClientTest, lets_a_handler_start_the_next_request_as_the_last_one_ends) {
  const auto first = start();
  std::unique_ptr<Call> second;
  first->handler.when_ended = [&] { second = start(); };
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  peer.forget_received();
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  ASSERT_TRUE(receives(peer, "GET /x"));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  ASSERT_TRUE(until([&] { return second->handler.is_over(); }));
  EXPECT_EQ(second->handler.body, "ok");
  EXPECT_EQ(first->handler.body, "ok");
  EXPECT_FALSE(upstream_.try_accept());
}

TEST_F(HttpClientTest, sends_bodies_of_known_length_and_in_chunks) {
  const auto sized = start(
      {.method = "POST", .target = "/", .body = {.kind = BodyFraming::Kind::length, .length = 5}});
  sized->exchange->send_body("hel");
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "Content-Length: 5\r\n\r\nhel"));
  sized->exchange->send_body("lo, and more");
  sized->exchange->finish_body();
  ASSERT_TRUE(receives(peer, "hello"));
  EXPECT_TRUE(peer.received().ends_with("hello"));

  const auto chunked =
      start({.method = "POST", .target = "/", .body = {.kind = BodyFraming::Kind::chunked}});
  RawPeer other = accept();
  chunked->exchange->send_body("abc");
  chunked->exchange->send_body("");
  chunked->exchange->finish_body();
  EXPECT_TRUE(receives(other, "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
}

TEST_F(HttpClientTest, reads_until_close_where_nothing_else_ends_the_body) {
  const auto call = start();
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  peer.send("HTTP/1.0 200 OK\r\n\r\nhello");
  ASSERT_TRUE(until([&] { return call->handler.body == "hello"; }));
  EXPECT_FALSE(call->handler.is_over());
  peer.close();
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_FALSE(call->handler.failure);
  EXPECT_EQ(client_.idle_connection_count(), 0u);
}

TEST_F(HttpClientTest, takes_no_body_where_there_can_be_none) {
  const auto call = start({.method = "HEAD", .target = "/"});
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  peer.forget_received();
  const auto next = start();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  peer.send("HTTP/1.1 204 No Content\r\n\r\n");
  ASSERT_TRUE(until([&] { return next->handler.is_over(); }));
  EXPECT_EQ(next->handler.status, 204);
  EXPECT_EQ(client_.idle_connection_count(), 1u);
}

TEST_F(HttpClientTest, does_not_pool_what_may_not_be_used_again) {
  for (const char* answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nstray",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=1\r\n\r\n"}) {
    const auto call = start();
    RawPeer peer = accept();
    ASSERT_TRUE(receives(peer, "\r\n\r\n"));
    peer.send(answer);
    ASSERT_TRUE(until([&] { return call->handler.is_over(); })) << answer;
    EXPECT_FALSE(call->handler.failure) << answer;
    EXPECT_EQ(client_.idle_connection_count(), 0u) << answer;
  }
  ClientRequest request{.method = "GET", .target = "/"};
  request.headers.add("Connection", "close");
  const auto call = start(request);
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "Connection: close\r\n\r\n"));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(client_.idle_connection_count(), 0u);
}

TEST_F(HttpClientTest, closes_an_idle_connection_that_its_peer_closes_or_speaks_on) {
  RawPeer closing = pool_one();
  closing.close();
  EXPECT_TRUE(until([&] { return client_.idle_connection_count() == 0; }));
  RawPeer speaking = pool_one();
  speaking.send("HTTP/1.1 408 Request Timeout\r\n\r\n");
  EXPECT_TRUE(until([&] { return client_.idle_connection_count() == 0; }));
  EXPECT_TRUE(until([&] { return speaking.is_gone(); }));
}

TEST_F(HttpClientTest, closes_idle_connections_before_their_peer_does) {
  RawPeer patient = pool_one();
  clock_.advance(milliseconds(3'500));
  run_turns(loop_, 2);
  EXPECT_EQ(client_.idle_connection_count(), 1u);
  clock_.advance(milliseconds(600));
  run_turns(loop_, 2);
  EXPECT_EQ(client_.idle_connection_count(), 0u);

  RawPeer hasty = pool_one("Keep-Alive: timeout=4\r\n");
  clock_.advance(milliseconds(2'900));
  run_turns(loop_, 2);
  EXPECT_EQ(client_.idle_connection_count(), 1u);
  clock_.advance(milliseconds(200));
  run_turns(loop_, 2);
  EXPECT_EQ(client_.idle_connection_count(), 0u);
}

TEST_F(HttpClientTest, R11_forgets_the_idle_connections_of_an_endpoint_that_is_gone) {
  RawPeer peer = pool_one();
  client_.forget(endpoint());
  EXPECT_EQ(client_.idle_connection_count(), 0u);
  run_turns(loop_, 1);
  EXPECT_TRUE(peer.is_gone());
  client_.forget({.host = "127.0.0.2", .port = 1});
}

TEST_F(HttpClientTest, R04_says_that_a_refused_request_was_not_delivered) {
  upstream_.close();
  const auto call = start();
  EXPECT_FALSE(call->handler.is_over());
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(call->handler.failure->kind, Kind::connect_refused);
  EXPECT_FALSE(call->handler.failure->is_request_delivered);
}

TEST_F(HttpClientTest, fails_on_a_later_turn_when_it_cannot_even_try) {
  RecordingHandler handler;
  const auto exchange = client_.start({.host = "no address", .port = 1},
                                      {.method = "GET", .target = "/"}, {}, handler);
  exchange->finish_body();
  EXPECT_FALSE(handler.is_over());
  run_turns(loop_, 2);
  ASSERT_TRUE(handler.failure);
  EXPECT_FALSE(handler.failure->is_request_delivered);

  const auto call = start({.method = "GET", .target = "/a\r\nX: y"});
  EXPECT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(call->handler.failure->kind, Kind::protocol);
}

TEST_F(HttpClientTest, says_that_a_request_on_a_stale_pooled_connection_was_not_delivered) {
  RawPeer peer = pool_one();
  // The close and the request cross: the loop has not yet turned when the request begins.
  peer.close();
  const auto call = start();
  EXPECT_EQ(client_.idle_connection_count(), 0u);
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  ASSERT_TRUE(call->handler.failure);
  EXPECT_EQ(call->handler.failure->kind, Kind::reset);
  EXPECT_FALSE(call->handler.failure->is_request_delivered);
  EXPECT_FALSE(call->handler.failure->is_answer_started);
}

TEST_F(HttpClientTest, R03_says_that_a_request_which_reached_the_peer_was_delivered) {
  for (const bool is_reset : {false, true}) {
    for (const bool is_pooled : {false, true}) {
      std::optional<RawPeer> peer;
      if (is_pooled) peer.emplace(pool_one());
      const auto call = start({.method = "POST",
                               .target = "/",
                               .body = {.kind = BodyFraming::Kind::length, .length = 4}});
      call->exchange->send_body("body");
      call->exchange->finish_body();
      if (!peer) peer.emplace(accept());
      ASSERT_TRUE(receives(*peer, "body"));
      is_reset ? peer->close_with_reset() : peer->close();
      ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
      ASSERT_TRUE(call->handler.failure);
      EXPECT_EQ(call->handler.failure->kind, Kind::reset);
      EXPECT_TRUE(call->handler.failure->is_request_delivered) << is_reset << is_pooled;
    }
  }
}

TEST_F(HttpClientTest, H03_says_how_short_a_body_was) {
  const auto call = start();
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
  peer.close();
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  ASSERT_TRUE(call->handler.failure);
  EXPECT_EQ(call->handler.failure->kind, Kind::reset);
  EXPECT_TRUE(call->handler.failure->is_answer_started);
  EXPECT_NE(call->handler.failure->message.find("10 bytes declared, 5 received"),
            std::string::npos);
  EXPECT_EQ(call->handler.body, "short");
}

TEST_F(HttpClientTest, S05_delivers_what_came_before_a_reset_then_fails) {
  const auto call = start();
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  peer.close_with_reset();
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(call->handler.body, "abc");
  ASSERT_TRUE(call->handler.failure);
  EXPECT_EQ(call->handler.failure->kind, Kind::reset);
}

TEST_F(HttpClientTest, refuses_answers_that_are_not_http_1_1) {
  for (const char* answer : {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n",
                             "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const auto call = start();
    RawPeer peer = accept();
    ASSERT_TRUE(receives(peer, "\r\n\r\n"));
    peer.send(answer);
    ASSERT_TRUE(until([&] { return call->handler.is_over(); })) << answer;
    ASSERT_TRUE(call->handler.failure) << answer;
    EXPECT_EQ(call->handler.failure->kind, Kind::protocol) << answer;
  }
}

TEST_F(HttpClientTest, C01_closes_the_connection_at_once_when_the_exchange_is_destroyed) {
  auto connecting = start();
  connecting.reset();

  auto waiting = start();
  RawPeer first = accept();
  RawPeer peer = accept();
  ASSERT_TRUE(until([&] { return peer.has_received("GET") || first.has_received("GET"); }));
  waiting.reset();
  EXPECT_TRUE(first.is_gone());
  EXPECT_TRUE(peer.is_gone());

  auto streaming = start();
  RawPeer third = accept();
  ASSERT_TRUE(receives(third, "\r\n\r\n"));
  third.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
  ASSERT_TRUE(until([&] { return streaming->handler.body == "abc"; }));
  streaming.reset();
  EXPECT_TRUE(third.is_gone());
  run_turns(loop_, 2);
}

TEST_F(HttpClientTest, may_be_cancelled_within_any_callback) {
  using Hook = std::function<void()> RecordingHandler::*;
  for (const Hook hook : {&RecordingHandler::when_connected, &RecordingHandler::when_head,
                          &RecordingHandler::when_body, &RecordingHandler::when_ended,
                          &RecordingHandler::when_failed}) {
    for (const char* answer : {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
      const auto call = start();
      bool is_called = false;
      call->handler.*hook = [&] {
        is_called = true;
        call->exchange.reset();
      };
      RawPeer peer = accept();
      peer.send(answer);
      run_until(loop_, [&] { return is_called || call->handler.is_over(); }, 50);
      run_turns(loop_, 3);
      EXPECT_LE(call->handler.end_count, 1);
      if (hook != &RecordingHandler::when_ended && hook != &RecordingHandler::when_failed &&
          is_called) {
        EXPECT_EQ(call->handler.end_count, 0);
      }
      client_.forget(endpoint());
    }
  }
}

TEST_F(HttpClientTest, delivers_an_answer_that_comes_before_the_request_is_complete) {
  const auto call = start({.method = "POST",
                           .target = "/",
                           .body = {.kind = BodyFraming::Kind::length, .length = 5'000'000}});
  call->exchange->send_body("some");
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "some"));
  peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_FALSE(call->handler.failure);
  EXPECT_EQ(call->handler.status, 413);
  EXPECT_EQ(call->handler.body, "big");
  EXPECT_EQ(client_.idle_connection_count(), 0u);
  call->exchange->send_body("ignored");
  call->exchange->finish_body();
}

TEST_F(HttpClientTest, reads_an_early_answer_although_the_peer_no_longer_reads) {
  const auto call =
      start({.method = "POST", .target = "/", .body = {.kind = BodyFraming::Kind::chunked}});
  RawPeer peer = accept();
  const std::string piece(60'000, 'x');
  for (int i = 0; i < 100; ++i) {
    if (!call->exchange->is_congested()) call->exchange->send_body(piece);
    run_turns(loop_, 1);
  }
  peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
  peer.close();  // with bytes unread: a reset
  ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(call->handler.status, 413);
  EXPECT_EQ(call->handler.body, "big");
}

TEST_F(HttpClientTest, tells_when_to_stop_and_go_on_sending) {
  const auto call =
      start({.method = "POST", .target = "/", .body = {.kind = BodyFraming::Kind::chunked}});
  RawPeer peer = accept();
  const std::string piece(10'000, 'x');
  int pieces = 0;
  ASSERT_TRUE(run_until(
      loop_,
      [&] {
        for (; !call->exchange->is_congested() && pieces < 5'000; ++pieces) {
          call->exchange->send_body(piece);
        }
        return call->exchange->is_congested();
      },
      50));
  EXPECT_LT(pieces, 1'500);
  EXPECT_EQ(call->handler.writable_count, 0);
  ASSERT_TRUE(until([&] {
    peer.received();
    return call->handler.writable_count == 1;
  }));
  EXPECT_FALSE(call->exchange->is_congested());
}

TEST_F(HttpClientTest, reads_nothing_while_paused_and_everything_afterwards) {
  const auto call = start();
  call->handler.when_body = [&] { call->exchange->pause(); };
  RawPeer peer = accept();
  ASSERT_TRUE(receives(peer, "\r\n\r\n"));
  peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
  ASSERT_TRUE(until([&] { return call->handler.body == "a"; }));
  run_turns(loop_, 5);
  EXPECT_EQ(call->handler.body, "a");
  call->exchange->resume();
  EXPECT_EQ(call->handler.body, "a");
  ASSERT_TRUE(until([&] { return call->handler.body == "ab"; }));

  const std::string piece = "a000\r\n" + std::string(0xa000, 'x') + "\r\n";
  std::size_t sent = 0;
  for (int i = 0; i < 400; ++i) {
    sent += peer.send_some(piece) / piece.size();
    run_turns(loop_, 1);
  }
  EXPECT_LT(sent, 300u) << "a peer that is not read must be held up";
  EXPECT_EQ(call->handler.body, "ab");
}

TEST_F(HttpClientTest, reads_all_of_an_answer_whose_peer_left_while_it_was_paused) {
  for (const bool is_reset : {false, true}) {
    const auto call = start();
    call->handler.when_head = [&] { call->exchange->pause(); };
    RawPeer peer = accept();
    ASSERT_TRUE(receives(peer, "\r\n\r\n"));
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
    ASSERT_TRUE(until([&] { return call->handler.status == 200; }));
    peer.send("def");
    is_reset ? peer.close_with_reset() : peer.close();
    run_turns(loop_, 5);
    EXPECT_EQ(call->handler.body, "");
    EXPECT_FALSE(call->handler.is_over());
    call->exchange->resume();
    ASSERT_TRUE(until([&] { return call->handler.is_over(); }));
    EXPECT_EQ(call->handler.body, "abcdef");
    EXPECT_FALSE(call->handler.failure);
    run_turns(loop_, 2);
    EXPECT_EQ(client_.idle_connection_count(), 0u);
  }
}

TEST_F(HttpClientTest, ends_a_paused_answer_without_a_body_only_on_resume) {
  const auto call = start();
  call->handler.when_head = [&] { call->exchange->pause(); };
  RawPeer peer = accept();
  peer.send("HTTP/1.1 204 No Content\r\n\r\n");
  ASSERT_TRUE(until([&] { return call->handler.status == 204; }));
  EXPECT_FALSE(call->handler.is_over());
  call->exchange->resume();
  EXPECT_TRUE(until([&] { return call->handler.is_over(); }));
  EXPECT_EQ(client_.idle_connection_count(), 1u);
}

TEST_F(HttpClientTest, tells_its_timeouts_apart) {
  const ClientTimeouts timeouts{.first_byte = milliseconds(1'000), .idle = milliseconds(500)};
  const auto silent = start({.method = "GET", .target = "/"}, timeouts);
  RawPeer first = accept();
  ASSERT_TRUE(receives(first, "\r\n\r\n"));
  clock_.advance(milliseconds(999));
  run_turns(loop_, 2);
  EXPECT_FALSE(silent->handler.is_over());
  clock_.advance(milliseconds(2));
  run_turns(loop_, 2);
  ASSERT_TRUE(silent->handler.failure);
  EXPECT_EQ(silent->handler.failure->kind, Kind::first_byte_timeout);
  EXPECT_TRUE(silent->handler.failure->is_request_delivered);
  EXPECT_TRUE(first.is_gone());

  const auto stalled = start({.method = "GET", .target = "/"}, timeouts);
  RawPeer second = accept();
  ASSERT_TRUE(receives(second, "\r\n\r\n"));
  for (int i = 0; i < 4; ++i) {
    second.send(i == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" : "a");
    run_turns(loop_, 3);
    clock_.advance(milliseconds(400));
    run_turns(loop_, 2);
    EXPECT_FALSE(stalled->handler.is_over());
  }
  stalled->exchange->pause();
  clock_.advance(milliseconds(5'000));
  run_turns(loop_, 2);
  EXPECT_FALSE(stalled->handler.is_over());
  stalled->exchange->resume();
  clock_.advance(milliseconds(600));
  run_turns(loop_, 2);
  ASSERT_TRUE(stalled->handler.failure);
  EXPECT_EQ(stalled->handler.failure->kind, Kind::idle_timeout);
}

TEST_F(HttpClientTest, gives_up_connecting_in_time) {
  // Nobody accepts behind a full queue, so that the connection is never made.
  UniqueFd full(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto any = parse_socket_address("127.0.0.1", 0);
  ASSERT_EQ(::bind(full.get(), any->data(), any->size()), 0);
  ASSERT_EQ(::listen(full.get(), 0), 0);
  const Endpoint target{.host = "127.0.0.1", .port = local_port(full.get())};
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 4; ++i) {
    auto& call = calls.emplace_back(std::make_unique<Call>());
    call->exchange = client_.start(target, {.method = "GET", .target = "/"},
                                   {.connect = milliseconds(500)}, call->handler);
  }
  run_turns(loop_, 5);
  clock_.advance(milliseconds(501));
  run_turns(loop_, 3);
  const RecordingHandler& last = calls.back()->handler;
  ASSERT_TRUE(last.failure);
  EXPECT_EQ(last.failure->kind, Kind::connect_timeout);
  EXPECT_FALSE(last.failure->is_request_delivered);
}

TEST_F(HttpClientTest, leaves_exchanges_inert_that_outlive_it) {
  RecordingHandler handler;
  auto client = std::make_unique<HttpClient>(loop_);
  const auto exchange = client->start(endpoint(), {.method = "GET", .target = "/"}, {}, handler);
  RawPeer peer = accept();
  client.reset();
  exchange->send_body("x");
  exchange->resume();
  EXPECT_FALSE(exchange->is_congested());
  run_turns(loop_, 2);
  EXPECT_FALSE(handler.is_over());
  EXPECT_TRUE(peer.is_gone());
}

}  // namespace
}  // namespace staithe::net
