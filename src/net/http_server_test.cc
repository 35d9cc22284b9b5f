#include "net/http_server.h"

#include <memory>
#include <string>

#include "net/port_check.h"
#include "net/server_test_kit.h"

namespace staithe::net {
namespace {

using std::chrono::milliseconds;
using testing::listen_on_loopback;
using testing::RawPeer;
using testing::run_turns;
using testing::run_until;
using testing::ScriptedRouter;
using testing::Seen;

constexpr const char* get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

class HttpServerTest : public testing::ServerTest {
 protected:
  RawPeer connect(int receive_buffer_bytes = 0) {
    return RawPeer::connect(port_, receive_buffer_bytes);
  }
  // Turns the loop until the peer has received `text`.
  ::testing::AssertionResult receives(RawPeer& peer, std::string_view text) {
    if (run_until(loop_, [&] { return peer.has_received(text); }, 200)) {
      return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << "got: " << peer.received();
  }
  bool until(const std::function<bool()>& is_done) { return run_until(loop_, is_done, 400); }
};

TEST_F(HttpServerTest, answers_with_length_and_date_and_keeps_the_connection) {
  start();
  answer_at_end("hello");
  RawPeer peer = connect();
  for (int i = 0; i < 3; ++i) {
    peer.forget_received();
    peer.send(get);
    ASSERT_TRUE(receives(peer, "hello"));
    EXPECT_EQ(peer.received(),
              "HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 02:55:53 GMT\r\nContent-Length: 5\r\n\r\n"
              "hello");
  }
  EXPECT_EQ(router_.count(), 3u);
  EXPECT_EQ(server_->connection_count(), 1u);
  EXPECT_EQ(server_->exchange_count(), 0u);
  EXPECT_TRUE(router_.at(0).is_destroyed);
}

TEST_F(HttpServerTest, sends_chunks_when_the_length_is_not_known) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("one");
  };
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(receives(peer, "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n"));
  EXPECT_EQ(server_->exchange_count(), 1u);
  router_.last().exchange->send_body("two");
  router_.last().exchange->finish();
  EXPECT_TRUE(receives(peer, "3\r\ntwo\r\n0\r\n\r\n"));
}

TEST_F(HttpServerTest, sends_trailers_behind_the_last_chunk_and_nowhere_else) {
  start();
  router_.when_ended = [](Seen& seen) {
    AnswerHead head;
    if (seen.target == "/length") head.content_length = 3;
    seen.exchange->send_head(head);
    seen.exchange->send_body("one");
    HeaderList trailers;
    trailers.add("grpc-status", "0");
    trailers.add("note", "a\r\nforged: b");
    seen.exchange->finish_with(trailers);
  };
  RawPeer peer = connect();
  peer.send(get);
  EXPECT_TRUE(receives(peer, "0\r\ngrpc-status: 0\r\nnote: a  forged: b\r\n\r\n"));
  peer.forget_received();
  peer.send("GET /length HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(receives(peer, "one"));
  EXPECT_FALSE(peer.has_received("grpc-status"));
}

TEST_F(HttpServerTest, says_that_an_answer_without_body_has_none) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({.has_body = false});
    seen.exchange->finish();
  };
  RawPeer peer = connect();
  peer.send(get);
  EXPECT_TRUE(receives(peer, "Content-Length: 0\r\n\r\n"));
}

TEST_F(HttpServerTest, answers_pipelined_requests_in_order_one_at_a_time) {
  start();
  RawPeer peer = connect();
  peer.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP");
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  run_turns(loop_, 5);
  EXPECT_EQ(router_.count(), 1u);
  ScriptedRouter::answer(router_.at(0), "first");
  ASSERT_TRUE(until([&] { return router_.count() == 2; }));
  EXPECT_TRUE(router_.at(0).is_destroyed);
  peer.send("/1.1\r\nHost: h\r\n\r\n");
  run_turns(loop_, 5);
  EXPECT_EQ(router_.count(), 2u);
  ScriptedRouter::answer(router_.at(1), "second");
  ASSERT_TRUE(until([&] { return router_.count() == 3; }));
  ScriptedRouter::answer(router_.at(2), "third");
  ASSERT_TRUE(receives(peer, "third"));
  EXPECT_LT(peer.received().find("first"), peer.received().find("second"));
  EXPECT_EQ(router_.at(2).target, "/3");
}

TEST_F(HttpServerTest, answers_many_pipelined_requests_that_came_at_once) {
  start();
  answer_at_end("x");
  RawPeer peer = connect();
  std::string requests;
  for (int i = 0; i < 500; ++i) requests += get;
  peer.send(requests);
  EXPECT_TRUE(run_until(loop_, [&] { return router_.count() == 500; }, 2'000));
}

TEST_F(HttpServerTest, stops_reading_pipelined_requests_whose_answers_are_not_read) {
  start();
  answer_at_end(std::string(1'000'000, 'x'));
  RawPeer peer = connect(4'096);
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += get;
  peer.send(requests);
  run_turns(loop_, 300);
  EXPECT_LT(router_.count(), 20u);
  EXPECT_TRUE(run_until(
      loop_,
      [&] {
        peer.received();
        peer.forget_received();
        return router_.count() == 100;
      },
      20'000));
}

TEST_F(HttpServerTest, delivers_a_chunked_body_and_a_body_of_known_length) {
  start();
  answer_at_end("ok");
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().body == "abc"; }));
  EXPECT_FALSE(router_.last().is_ended);
  peer.send("2;x\r\nde\r\n0\r\nT: x\r\n\r\n");
  ASSERT_TRUE(receives(peer, "ok"));
  EXPECT_EQ(router_.last().body, "abcde");

  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
  ASSERT_TRUE(until([&] { return router_.count() == 2 && router_.last().body == "ab"; }));
  EXPECT_FALSE(router_.last().is_ended);
  peer.send("cd");
  ASSERT_TRUE(until([&] { return router_.last().is_ended; }));
  EXPECT_EQ(router_.last().body, "abcd");
}

TEST_F(HttpServerTest, holds_a_paused_body_back_and_delivers_it_whole_on_resume) {
  start();
  answer_at_end("ok");
  router_.when_body = [](Seen& seen) {
    if (seen.body.size() == 3) seen.exchange->pause_body();
  };
  RawPeer peer = connect();
  peer.send(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n");
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().body == "abc"; }));
  peer.send("0\r\n\r\n");
  run_turns(loop_, 5);
  EXPECT_EQ(router_.last().body, "abc");
  router_.last().exchange->resume_body();
  ASSERT_TRUE(receives(peer, "ok"));
  EXPECT_EQ(router_.last().body, "abcdef");
}

TEST_F(HttpServerTest, tells_the_end_of_a_body_paused_at_its_last_byte_only_on_resume) {
  start();
  answer_at_end("ok");
  router_.when_body = [](Seen& seen) { seen.exchange->pause_body(); };
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().body == "abc"; }));
  run_turns(loop_, 3);
  EXPECT_FALSE(router_.last().is_ended);
  router_.last().exchange->resume_body();
  EXPECT_TRUE(receives(peer, "ok"));
}

TEST_F(HttpServerTest, invites_the_body_of_a_client_that_waits_to_be_asked) {
  start();
  answer_at_end("ok");
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(receives(peer, "HTTP/1.1 100 Continue\r\n\r\n"));
  peer.send("ab");
  ASSERT_TRUE(receives(peer, "ok"));
  EXPECT_EQ(peer.received().find("Connection: close"), std::string::npos);
}

TEST_F(HttpServerTest, H14_refuses_without_inviting_the_body) {
  start();
  router_.when_requested = [](Seen& seen) { ScriptedRouter::answer(seen, "no", 401); };
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(receives(peer, "no"));
  EXPECT_EQ(peer.received().find("100 Continue"), std::string::npos);
  EXPECT_NE(peer.received().find("Connection: close"), std::string::npos);
  EXPECT_TRUE(until([&] { return peer.is_ended(); }));
}

TEST_F(HttpServerTest, invites_the_body_when_a_handler_that_paused_it_resumes) {
  start();
  answer_at_end("ok");
  router_.when_requested = [](Seen& seen) { seen.exchange->pause_body(); };
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  run_turns(loop_, 3);
  EXPECT_EQ(peer.received(), "");
  router_.last().exchange->resume_body();
  ASSERT_TRUE(receives(peer, "100 Continue"));
  peer.send("ab");
  EXPECT_TRUE(receives(peer, "ok"));
}

TEST_F(HttpServerTest, never_sends_a_body_with_head_204_or_304) {
  start();
  std::uint16_t status = 200;
  router_.when_ended = [&status](Seen& seen) {
    seen.exchange->send_head({.status = status, .content_length = 5});
    seen.exchange->send_body("hello");
    seen.exchange->finish();
  };
  RawPeer peer = connect();
  peer.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(receives(peer, "Content-Length: 5\r\n\r\n"));
  status = 204;
  peer.send(get);
  ASSERT_TRUE(receives(peer, "204 No Content"));
  status = 304;
  peer.send(get);
  ASSERT_TRUE(receives(peer, "304 Not Modified"));
  run_turns(loop_, 3);
  EXPECT_FALSE(peer.has_received("hello"));
  const std::size_t no_content = peer.received().find("204 No Content");
  EXPECT_EQ(peer.received().substr(no_content).find("Content-Length"),
            peer.received().substr(no_content).rfind("Content-Length"));
}

TEST_F(HttpServerTest, ends_a_body_of_unknown_length_by_closing_for_http_1_0) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("hello");
    seen.exchange->finish();
  };
  RawPeer peer = connect();
  peer.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.has_received("Connection: close\r\n\r\nhello"));
  EXPECT_FALSE(peer.has_received("chunked"));
}

TEST_F(HttpServerTest, keeps_an_http_1_0_connection_that_asks_for_it) {
  start();
  answer_at_end("hello");
  RawPeer peer = connect();
  peer.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(receives(peer, "Connection: keep-alive\r\n\r\nhello"));
  peer.send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_EQ(router_.count(), 2u);
}

TEST_F(HttpServerTest, closes_when_the_client_asks_for_it) {
  start();
  answer_at_end("hello");
  RawPeer peer = connect();
  peer.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.has_received("Connection: close\r\n\r\nhello"));
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(HttpServerTest, refuses_smuggled_requests_and_closes_before_anything_behind_them) {
  start();
  const std::string smuggled[] = {
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: h\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"};
  for (const std::string& bytes : smuggled) {
    RawPeer peer = connect();
    peer.send(bytes + get);
    ASSERT_TRUE(until([&] { return peer.is_ended(); })) << bytes;
    EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 400 ")) << peer.received();
    EXPECT_TRUE(peer.has_received("Connection: close")) << peer.received();
  }
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(HttpServerTest, breaks_off_a_malformed_chunked_body) {
  start();
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n");
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(router_.last().is_cancelled);
  EXPECT_TRUE(router_.last().is_destroyed);
  EXPECT_EQ(server_->exchange_count(), 0u);
}

TEST_F(HttpServerTest, answers_a_head_over_the_limit_with_431) {
  start({.head_bytes_max = 1'000});
  RawPeer peer = connect();
  peer.send("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(2'000, 'a'));
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, closes_silently_when_the_client_hangs_up_within_a_head) {
  start();
  RawPeer peer = connect();
  peer.send("GET / HT");
  ASSERT_TRUE(until([&] { return server_->connection_count() == 1; }));
  peer.close();
  EXPECT_TRUE(until([&] { return server_->connection_count() == 0; }));
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(HttpServerTest, cancels_when_the_client_hangs_up_within_a_body) {
  start();
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().body == "abc"; }));
  peer.close();
  run_turns(loop_, 3);
  EXPECT_TRUE(router_.last().is_cancelled);
  EXPECT_FALSE(router_.last().is_ended);
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(HttpServerTest, cancels_when_the_client_hangs_up_while_its_body_is_paused) {
  start();
  router_.when_body = [](Seen& seen) { seen.exchange->pause_body(); };
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().body == "abc"; }));
  peer.send("def");
  run_turns(loop_, 3);
  peer.close();
  run_turns(loop_, 3);
  EXPECT_TRUE(router_.last().is_cancelled);
  EXPECT_EQ(router_.last().body, "abc");
}

TEST_F(HttpServerTest, C01_cancels_at_once_when_the_client_hangs_up_while_streaming) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("one");
  };
  for (const bool is_reset : {false, true}) {
    RawPeer peer = connect();
    peer.send(get);
    ASSERT_TRUE(receives(peer, "one"));
    is_reset ? peer.close_with_reset() : peer.close();
    run_turns(loop_, 2);
    EXPECT_TRUE(router_.last().is_cancelled);
    EXPECT_TRUE(router_.last().is_destroyed);
    EXPECT_EQ(server_->connection_count(), 0u);
    EXPECT_EQ(server_->exchange_count(), 0u);
  }
}

TEST_F(HttpServerTest, C03_cancels_at_once_before_the_first_byte_and_with_a_request_behind) {
  start();
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().is_ended; }));
  peer.send(get);
  run_turns(loop_, 3);
  EXPECT_FALSE(router_.last().is_cancelled);
  peer.close();
  run_turns(loop_, 2);
  EXPECT_TRUE(router_.last().is_cancelled);
  EXPECT_EQ(router_.count(), 1u);
}

TEST_F(HttpServerTest, answers_a_half_closed_client_whose_answer_is_ready_at_once) {
  start();
  answer_at_end(std::string(3'000'000, 'x') + "end");
  RawPeer peer = connect();
  peer.send(get);
  peer.shutdown_sending();
  EXPECT_TRUE(receives(peer, "xend"));
  EXPECT_TRUE(until([&] { return peer.is_ended(); }));
}

TEST_F(HttpServerTest, holds_no_more_than_the_mark_and_one_write_for_a_client_that_does_not_read) {
  start();
  std::size_t given = 0;
  std::size_t unsent_max = 0;
  const std::string piece(10'000, 'x');
  const auto feed = [&](Seen& seen) {
    while (!seen.exchange->is_congested() && given < 50'000'000) {
      seen.exchange->send_body(piece);
      given += piece.size();
      unsent_max = std::max(unsent_max, seen.exchange->unsent_bytes());
    }
    if (given >= 50'000'000) seen.exchange->finish();
  };
  router_.when_ended = [&](Seen& seen) {
    seen.exchange->send_head({});
    feed(seen);
  };
  router_.when_writable = feed;
  RawPeer peer = connect(4'096);
  peer.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  run_turns(loop_, 50);
  EXPECT_TRUE(router_.last().exchange->is_congested());
  EXPECT_LE(unsent_max, Exchange::high_water_bytes + piece.size() + 10);
  EXPECT_LT(given, 8'000'000u);

  const std::string last_chunk = "0\r\n\r\n";
  std::size_t received = 0;
  std::string end;
  EXPECT_TRUE(run_until(
      loop_,
      [&] {
        const std::string& got = peer.received();
        received += got.size();
        end = (end + got).substr(std::max(end.size() + got.size(), last_chunk.size()) -
                                 last_chunk.size());
        peer.forget_received();
        return end == last_chunk;
      },
      100'000));
  EXPECT_GE(received, 50'000'000u);
  EXPECT_GT(router_.last().writable_count, 0);
  EXPECT_LE(unsent_max, Exchange::high_water_bytes + piece.size() + 10);
}

TEST_F(HttpServerTest, writes_what_a_turn_gathers_at_its_end) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("one");
    seen.exchange->send_body("two");
    EXPECT_GT(seen.exchange->unsent_bytes(), 6u);
  };
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(receives(peer, "3\r\none\r\n3\r\ntwo\r\n"));
  EXPECT_EQ(router_.last().exchange->unsent_bytes(), 0u);
}

TEST_F(HttpServerTest, skips_the_little_that_is_left_of_a_request_answered_early) {
  start();
  router_.when_requested = [](Seen& seen) { ScriptedRouter::answer(seen, "early"); };
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc");
  ASSERT_TRUE(receives(peer, "early"));
  EXPECT_FALSE(peer.has_received("Connection: close"));
  peer.send(std::string("def") + get);
  ASSERT_TRUE(until([&] { return router_.count() == 2; }));
  EXPECT_EQ(router_.at(0).body, "");
  EXPECT_EQ(router_.at(1).target, "/a");
}

TEST_F(HttpServerTest, pieces_short_and_long_reach_a_slow_reader_in_order) {
  start();
  std::string text;
  for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(i) + ' ';
  std::size_t given = 0;
  std::size_t turn = 0;
  const auto feed = [&](Seen& seen) {
    constexpr std::array<std::size_t, 5> sizes{7, 20'000, 300, 90'000, 16'384};
    while (!seen.exchange->is_congested() && given < text.size()) {
      const auto piece = std::string_view(text).substr(given, sizes[turn++ % sizes.size()]);
      given += piece.size();
      seen.exchange->send_body(piece);
    }
    if (given == text.size()) seen.exchange->finish();
  };
  router_.when_ended = [&](Seen& seen) {
    seen.exchange->send_head({.content_length = text.size()});
    feed(seen);
  };
  router_.when_writable = feed;
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().exchange != nullptr; }));
  ASSERT_LT(given, text.size());  // the client does not read yet
  ASSERT_TRUE(until([&] { return peer.received().ends_with(text.substr(text.size() - 100)); }));
  EXPECT_TRUE(peer.received().ends_with(text));
}

TEST_F(HttpServerTest, H06_lets_a_client_read_an_early_answer_before_it_closes) {
  start();
  router_.when_requested = [](Seen& seen) { ScriptedRouter::answer(seen, "too large", 413); };
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n");
  const std::string piece(100'000, 'x');
  std::size_t sent = 0;
  ASSERT_TRUE(until([&] {
    sent += peer.send_some(std::string_view(piece).substr(0, 3'000'000 - sent));
    return sent == 3'000'000;
  }));
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_FALSE(peer.is_reset());
  EXPECT_TRUE(peer.has_received("Connection: close"));
  EXPECT_TRUE(peer.has_received("too large"));
  peer.close();
  EXPECT_TRUE(until([&] { return server_->connection_count() == 0; }));
}

TEST_F(HttpServerTest, ends_an_aborted_answer_so_that_the_client_can_tell) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("one");
    seen.exchange->abort();
  };
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(until([&] { return peer.is_gone(); }));
  EXPECT_TRUE(peer.has_received("3\r\none\r\n"));
  EXPECT_FALSE(peer.has_received("0\r\n\r\n"));
  EXPECT_FALSE(router_.last().is_cancelled);
  EXPECT_TRUE(router_.last().is_destroyed);

  RawPeer old = connect();
  old.send("GET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(until([&] { return old.is_gone(); }));
  EXPECT_TRUE(old.is_reset());
}

TEST_F(HttpServerTest, treats_an_answer_that_ends_short_of_its_length_as_aborted) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({.content_length = 10});
    seen.exchange->send_body("short");
    seen.exchange->finish();
  };
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.received().ends_with("short"));
}

TEST_F(HttpServerTest, lets_a_handler_answer_within_the_routers_call) {
  start();
  router_.when_requested = [](Seen& seen) { ScriptedRouter::answer(seen, "now"); };
  RawPeer peer = connect();
  peer.send(std::string(get) + get);
  ASSERT_TRUE(until([&] { return router_.count() == 2; }));
  ASSERT_TRUE(receives(peer, "now"));
  EXPECT_TRUE(router_.at(0).is_destroyed);
  EXPECT_FALSE(router_.at(0).is_ended);
  EXPECT_FALSE(router_.at(0).is_cancelled);
}

TEST_F(HttpServerTest, ignores_what_a_cancelled_handler_still_sends) {
  start();
  router_.when_cancelled = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("late");
    seen.exchange->resume_body();
    seen.exchange->finish();
    seen.exchange->abort();
  };
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  peer.close();
  EXPECT_TRUE(until([&] { return server_->connection_count() == 0; }));
  EXPECT_TRUE(router_.last().is_destroyed);
}

TEST_F(HttpServerTest, times_a_slow_head_from_its_first_byte_on) {
  start({.head_timeout = milliseconds(1'000)});
  RawPeer peer = connect();
  run_turns(loop_, 3);
  advance(milliseconds(5'000));
  for (int i = 0; i < 4; ++i) {
    peer.send(std::string(get).substr(static_cast<std::size_t>(i), 1));
    run_turns(loop_, 3);
    EXPECT_FALSE(peer.is_ended()) << i;
    advance(milliseconds(300));
  }
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 408 "));
}

TEST_F(HttpServerTest, times_a_slow_body_unless_it_is_paused) {
  start({.body_timeout = milliseconds(1'000)});
  RawPeer peer = connect();
  peer.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  advance(milliseconds(900));
  peer.send("d");
  ASSERT_TRUE(until([&] { return router_.last().body == "abcd"; }));
  EXPECT_FALSE(router_.last().is_cancelled);
  router_.last().exchange->pause_body();
  advance(milliseconds(5'000));
  EXPECT_FALSE(router_.last().is_cancelled);
  router_.last().exchange->resume_body();
  advance(milliseconds(1'000));
  EXPECT_TRUE(router_.last().is_cancelled);
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 408 "));
}

TEST_F(HttpServerTest, closes_an_idle_connection_silently_and_never_a_slow_answer) {
  start({.keep_alive_timeout = milliseconds(1'000)});
  RawPeer idle = connect();
  RawPeer waiting = connect();
  waiting.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  advance(milliseconds(3'600'000));
  ASSERT_TRUE(until([&] { return idle.is_ended(); }));
  EXPECT_EQ(idle.received(), "");
  EXPECT_FALSE(router_.last().is_cancelled);
  ScriptedRouter::answer(router_.last(), "at last");
  EXPECT_TRUE(receives(waiting, "at last"));
}

TEST_F(HttpServerTest, gives_up_on_a_client_that_takes_nothing_for_too_long) {
  start({.write_timeout = milliseconds(1'000)});
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body(std::string(20'000'000, 'x'));
  };
  RawPeer peer = connect(4'096);
  peer.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  run_turns(loop_, 20);
  advance(milliseconds(900));
  EXPECT_FALSE(router_.last().is_cancelled);
  advance(milliseconds(200));
  EXPECT_TRUE(router_.last().is_cancelled);
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(HttpServerTest, stops_lingering_for_a_client_that_never_closes) {
  start();
  RawPeer peer = connect();
  peer.send("nonsense\r\n\r\n");
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_EQ(server_->connection_count(), 1u);
  advance(milliseconds(10'000));
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(HttpServerTest, turns_connections_over_the_limit_away) {
  start({.connections_max = 1});
  RawPeer first = connect();
  ASSERT_TRUE(until([&] { return server_->connection_count() == 1; }));
  RawPeer second = connect();
  ASSERT_TRUE(until([&] { return second.is_gone(); }));
  EXPECT_TRUE(second.received().starts_with("HTTP/1.1 503 "));
  answer_at_end("ok");
  first.send(get);
  EXPECT_TRUE(receives(first, "ok"));
}

TEST_F(HttpServerTest, drains_by_finishing_what_runs_and_closing_what_rests) {
  start();
  answer_at_end("quick");
  RawPeer idle = connect();
  idle.send(get);
  ASSERT_TRUE(receives(idle, "quick"));
  router_.when_ended = [](Seen&) {};
  RawPeer running = connect();
  running.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 2; }));
  RawPeer unaccepted = connect();
  unaccepted.send(get);

  bool is_drained = false;
  server_->drain([&is_drained] { is_drained = true; });
  ASSERT_TRUE(until([&] { return idle.is_ended() && router_.count() == 3; }));
  run_turns(loop_, 5);
  EXPECT_FALSE(is_drained);
  for (const std::size_t index : {1u, 2u}) ScriptedRouter::answer(router_.at(index), "last");
  ASSERT_TRUE(until([&] { return running.is_ended() && unaccepted.is_ended(); }));
  EXPECT_TRUE(running.has_received("Connection: close"));
  EXPECT_TRUE(unaccepted.has_received("last"));
  running.close();
  unaccepted.close();
  idle.close();
  EXPECT_TRUE(until([&] { return is_drained; }));
}

TEST_F(HttpServerTest, closes_behind_an_answer_that_had_begun_before_it_drained) {
  start();
  router_.when_ended = [](Seen& seen) { seen.exchange->send_head({}); };
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(receives(peer, "chunked\r\n\r\n"));
  server_->drain([] {});
  run_turns(loop_, 2);
  router_.last().exchange->send_body("end");
  router_.last().exchange->finish();
  ASSERT_TRUE(until([&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.has_received("end\r\n0\r\n\r\n"));
}

TEST_F(HttpServerTest, closes_all_and_goes_while_answers_run) {
  start();
  RawPeer peer = connect();
  peer.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1; }));
  server_->close_all();
  EXPECT_TRUE(router_.last().is_cancelled);
  run_turns(loop_, 1);
  EXPECT_TRUE(router_.last().is_destroyed);

  RawPeer other = connect();
  other.send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 2; }));
  server_.reset();
  EXPECT_TRUE(router_.last().is_cancelled);
  run_turns(loop_, 1);
  EXPECT_TRUE(other.is_gone());
}

TEST(ListenAddress, is_an_ip_address_and_a_port) {
  EXPECT_EQ(parse_listen_address("127.0.0.1:8080")->port, 8080);
  EXPECT_EQ(parse_listen_address("[::1]:0")->host, "::1");
  EXPECT_EQ(parse_listen_address("localhost:1")->host, "127.0.0.1");
  for (const char* text : {"", "8080", ":8080", "::1:80", "host:80", "127.0.0.1:", "127.0.0.1:x",
                           "127.0.0.1:70000", "127.0.0.1:-1", "[::1]"}) {
    const auto address = parse_listen_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, Code::invalid_argument);
  }
}

TEST(Listener, says_that_a_port_is_taken) {
  testing::RawListener other;
  const auto listener = listen_on({.host = "127.0.0.1", .port = other.port()});
  ASSERT_FALSE(listener);
  EXPECT_EQ(listener.error().code, Code::failed_precondition);
  EXPECT_NE(listener.error().message.find("taken"), std::string::npos);
}

TEST(PortCheck, finds_a_listener_that_would_share_its_port) {
  const ListenAddress any_port{.host = "127.0.0.1", .port = 0};
  EXPECT_TRUE(check_port_is_free(any_port));
  ListenAddress address = any_port;
  {
    const Listener listener = listen_on_loopback();
    address.port = listener.port;
    const auto outcome = check_port_is_free(address);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Code::failed_precondition);
    EXPECT_TRUE(listen_on(address)) << "another loop shares the port";
  }
  EXPECT_TRUE(check_port_is_free(address));
}

}  // namespace
}  // namespace staithe::net
