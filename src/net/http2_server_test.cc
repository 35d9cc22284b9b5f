#include <memory>
#include <string>
#include <vector>

#include "net/http2_test_kit.h"
#include "net/server_test_kit.h"

namespace staithe::net {
namespace {

using std::chrono::milliseconds;
using testing::Http2Peer;
using testing::RawPeer;
using testing::run_turns;
using testing::run_until;
using testing::ScriptedRouter;
using testing::Seen;

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Longer than any test's clock goes on.
constexpr milliseconds one_hour{3'600'000};

class Http2ServerTest : public testing::ServerTest {};

TEST_F(Http2ServerTest, answers_requests_with_prior_knowledge) {
  start();
  answer_at_end("hello");
  Http2Peer peer(port_);
  for (int i = 0; i < 3; ++i) {
    const auto& answer = peer.wait(loop_, peer.request("GET", "/a?b=c", "", {{"x-one", "1"}}));
    EXPECT_EQ(answer.status(), "200");
    EXPECT_EQ(answer.body, "hello");
    EXPECT_EQ(answer.field("content-length"), "5");
    EXPECT_EQ(answer.field("date"), "Wed, 25 Nov 2026 02:55:53 GMT");
  }
  EXPECT_EQ(server_->connection_count(), 1u);
  EXPECT_EQ(server_->exchange_count(), 0u);
  const Seen& seen = router_.at(0);
  EXPECT_TRUE(seen.is_destroyed);
  EXPECT_EQ(seen.method, "GET");
  EXPECT_EQ(seen.target, "/a?b=c");
  const decltype(seen.headers) headers{{"x-one", "1"}, {"host", "h2.test"}};
  EXPECT_EQ(seen.headers, headers);
}

TEST_F(Http2ServerTest, recognises_a_preface_that_drips_in) {
  start();
  answer_at_end("hello");
  RawPeer peer = RawPeer::connect(port_);
  for (const char byte : preface) {
    peer.send({&byte, 1});
    run_turns(loop_, 2);
  }
  const std::string empty_settings("\0\0\0\4\0\0\0\0\0", 9);
  EXPECT_TRUE(run_until(loop_, [&] { return peer.received().size() >= 9; }));
  EXPECT_EQ(peer.received()[3], 4) << "a SETTINGS frame comes first";
}

TEST_F(Http2ServerTest, a_preface_that_stops_is_closed_in_time) {
  start({.head_timeout = milliseconds(2'000), .keep_alive_timeout = one_hour});
  RawPeer peer = RawPeer::connect(port_);
  peer.send("PRI * HT");
  EXPECT_TRUE(run_until(loop_, [&] {
    clock_.advance(milliseconds(100));
    return peer.is_gone();
  }));
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(Http2ServerTest, a_request_that_begins_like_a_preface_is_http_1) {
  start();
  answer_at_end("hello");
  RawPeer peer = RawPeer::connect(port_);
  peer.send("PR");
  run_turns(loop_, 2);
  peer.send("UNE /a HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(run_until(loop_, [&] { return peer.has_received("hello"); }));
  EXPECT_EQ(router_.last().method, "PRUNE");
}

TEST_F(Http2ServerTest, runs_many_streams_at_once_and_answers_in_any_order) {
  start();
  Http2Peer peer(port_);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(peer.request("GET", "/" + std::to_string(i)));
  ASSERT_TRUE(
      peer.poll_until(loop_, [&] { return router_.count() == 100 && router_.at(99).is_ended; }));
  for (std::size_t i = 100; i-- > 0;) ScriptedRouter::answer(router_.at(i), router_.at(i).target);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(peer.wait(loop_, ids[i]).body, "/" + std::to_string(i));
  }
}

TEST_F(Http2ServerTest, a_body_of_unknown_length_comes_as_it_is_sent) {
  start();
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "ab", {}, false);
  ASSERT_TRUE(
      peer.poll_until(loop_, [&] { return router_.count() == 1 && router_.at(0).body == "ab"; }));
  EXPECT_FALSE(router_.at(0).is_ended);
  peer.send_more(id, "cd", true);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.at(0).is_ended; }));
  EXPECT_EQ(router_.at(0).body, "abcd");

  router_.at(0).exchange->send_head({});
  router_.at(0).exchange->send_body("one");
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).body == "one"; }));
  EXPECT_FALSE(peer.answer(id).is_ended);
  router_.at(0).exchange->send_body("two");
  router_.at(0).exchange->finish();
  EXPECT_EQ(peer.wait(loop_, id).body, "onetwo");
}

TEST_F(Http2ServerTest, the_answer_to_head_has_a_length_and_no_body) {
  start();
  answer_at_end("hello");
  Http2Peer peer(port_);
  const auto& answer = peer.wait(loop_, peer.request("HEAD", "/"));
  EXPECT_EQ(answer.field("content-length"), "5");
  EXPECT_EQ(answer.body, "");
}

TEST_F(Http2ServerTest, an_aborted_answer_is_a_reset_after_what_was_sent) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("part");
    seen.exchange->abort();
  };
  Http2Peer peer(port_);
  const auto& answer = peer.wait(loop_, peer.request("GET", "/"));
  EXPECT_EQ(answer.body, "part");
  EXPECT_FALSE(answer.is_ended);
  EXPECT_EQ(answer.reset, std::uint32_t{NGHTTP2_INTERNAL_ERROR});
  EXPECT_EQ(server_->connection_count(), 1u);
}

TEST_F(Http2ServerTest, C09_a_reset_stream_cancels_its_exchange_and_no_other) {
  start();
  Http2Peer peer(port_);
  const auto left = peer.request("GET", "/left");
  const auto right = peer.request("GET", "/right");
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.count() == 2; }));
  peer.reset(left);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.at(0).is_cancelled; }));
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.at(0).is_destroyed; }));
  EXPECT_FALSE(router_.at(1).is_cancelled);
  ScriptedRouter::answer(router_.at(1), "fine");
  EXPECT_EQ(peer.wait(loop_, right).body, "fine");
}

TEST_F(Http2ServerTest, a_client_that_goes_away_cancels_every_stream) {
  start();
  auto peer = std::make_unique<Http2Peer>(port_);
  for (int i = 0; i < 5; ++i) peer->request("GET", "/");
  ASSERT_TRUE(peer->poll_until(loop_, [&] { return router_.count() == 5; }));
  peer.reset();
  ASSERT_TRUE(run_until(loop_, [&] { return server_->connection_count() == 0; }));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(router_.at(i).is_cancelled && router_.at(i).is_destroyed);
  EXPECT_EQ(server_->exchange_count(), 0u);
}

TEST_F(Http2ServerTest, a_client_that_does_not_read_costs_the_high_water_mark) {
  start();
  router_.when_ended = [](Seen& seen) { seen.exchange->send_head({}); };
  Http2Peer peer(port_, false);
  const auto id = peer.request("GET", "/");
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return !peer.answer(id).head.empty(); }));
  Exchange& exchange = *router_.at(0).exchange;
  const std::string piece(16 * 1024, 'x');
  std::size_t sent = 0;
  for (int i = 0; i < 1'000 && !exchange.is_congested(); ++i) {
    exchange.send_body(piece);
    sent += piece.size();
    peer.poll();
    run_turns(loop_, 1);
  }
  ASSERT_TRUE(exchange.is_congested());
  // The window of HTTP/2 that nobody enlarges (RFC 9113 section 6.9.2), and our own mark.
  EXPECT_LE(sent, 65'535 + Exchange::high_water_bytes + 2 * piece.size());
  EXPECT_EQ(router_.at(0).writable_count, 0);

  peer.consume(id, peer.answer(id).body.size());
  ASSERT_TRUE(peer.poll_until(loop_, [&] {
    peer.consume(id, 16 * 1024);
    return router_.at(0).writable_count > 0;
  }));
  EXPECT_EQ(router_.at(0).writable_count, 1);
  exchange.finish();
  ASSERT_TRUE(peer.poll_until(loop_, [&] {
    peer.consume(id, 16 * 1024);
    return peer.answer(id).is_ended;
  }));
  EXPECT_EQ(peer.answer(id).body.size(), sent);
}

TEST_F(Http2ServerTest, a_paused_body_stops_its_client_and_no_other_stream) {
  start();
  router_.when_requested = [](Seen& seen) {
    if (seen.target == "/slow") seen.exchange->pause_body();
  };
  router_.when_ended = [](Seen& seen) {
    if (seen.target != "/slow") ScriptedRouter::answer(seen, std::to_string(seen.body.size()));
  };
  Http2Peer peer(port_);
  const auto slow = peer.request("POST", "/slow", std::string(3'000'000, 's'));
  const auto fast = peer.request("POST", "/fast", std::string(3'000'000, 'f'));
  EXPECT_EQ(peer.wait(loop_, fast).body, "3000000");
  EXPECT_GT(peer.unsent_bytes(slow), 2'500'000u);
  EXPECT_EQ(router_.at(0).body, "");

  router_.at(0).exchange->resume_body();
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.at(0).is_ended; }));
  EXPECT_EQ(router_.at(0).body.size(), 3'000'000u);
  ScriptedRouter::answer(router_.at(0), "late");
  EXPECT_EQ(peer.wait(loop_, slow).body, "late");
}

TEST_F(Http2ServerTest, an_answer_before_the_request_is_whole_ends_the_upload) {
  start();
  router_.when_requested = [](Seen& seen) { ScriptedRouter::answer(seen, "no", 413); };
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", std::string(10'000'000, 'x'));
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).reset.has_value(); }));
  EXPECT_EQ(peer.answer(id).status(), "413");
  EXPECT_EQ(peer.answer(id).body, "no");
  EXPECT_EQ(peer.answer(id).reset, std::uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_GT(peer.unsent_bytes(id), 9'000'000u);
  answer_at_end("still here");
  router_.when_requested = [](Seen&) {};
  EXPECT_EQ(peer.wait(loop_, peer.request("GET", "/")).body, "still here");
}

TEST_F(Http2ServerTest, H14_an_expectation_is_met_when_the_body_is_let_in) {
  start();
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "", {{"expect", "100-continue"}}, false);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).status() == "100"; }));
  EXPECT_EQ(router_.at(0).body, "");
}

TEST_F(Http2ServerTest, a_head_that_is_too_large_is_431_and_the_connection_stays) {
  start({.head_bytes_max = 4'096});
  answer_at_end("hello");
  Http2Peer peer(port_);
  const auto& refused =
      peer.wait(loop_, peer.request("GET", "/", "", {{"x", std::string(5'000, 'a')}}));
  EXPECT_EQ(refused.status(), "431");
  const testing::Fields many(300, {"x", "a"});
  EXPECT_EQ(peer.wait(loop_, peer.request("GET", "/", "", many)).status(), "431");
  EXPECT_EQ(router_.count(), 0u);
  EXPECT_EQ(peer.wait(loop_, peer.request("GET", "/")).body, "hello");
}

TEST_F(Http2ServerTest, cookies_in_pieces_are_one) {
  start();
  answer_at_end("hello");
  Http2Peer peer(port_);
  peer.wait(loop_, peer.request("GET", "/", "", {{"cookie", "a=1"}, {"cookie", "b=2"}}));
  const std::pair<std::string, std::string> cookie{"cookie", "a=1; b=2"};
  EXPECT_EQ(router_.at(0).headers.at(0), cookie);
}

TEST_F(Http2ServerTest, more_streams_than_the_limit_are_refused) {
  start({.streams_max = 10});
  Http2Peer peer(port_);
  peer.poll_until(loop_, [&] { return false; }, 20);  // our settings arrive
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 15; ++i) ids.push_back(peer.request("GET", "/"));
  peer.poll_until(loop_, [&] { return router_.count() > 10; }, 100);
  EXPECT_EQ(router_.count(), 10u);
}

TEST_F(Http2ServerTest, H19_draining_lets_open_streams_finish) {
  start();
  Http2Peer peer(port_);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(peer.request("GET", "/"));
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.count() == 3; }));
  bool is_drained = false;
  server_->drain([&] { is_drained = true; });
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.goaway().has_value(); }));
  EXPECT_EQ(peer.goaway(), std::uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_FALSE(is_drained);
  for (int i = 0; i < 3; ++i) ScriptedRouter::answer(router_.at(i), "done");
  for (const auto id : ids) EXPECT_EQ(peer.wait(loop_, id).body, "done");
  EXPECT_TRUE(peer.poll_until(loop_, [&] { return is_drained; }));
}

TEST_F(Http2ServerTest, an_idle_connection_is_closed_in_time) {
  start({.keep_alive_timeout = milliseconds(5'000)});
  answer_at_end("hello");
  Http2Peer peer(port_);
  peer.wait(loop_, peer.request("GET", "/"));
  for (int i = 0; i < 8 && server_->connection_count() > 0; ++i) {
    advance(milliseconds(1'001));
    peer.poll();
  }
  EXPECT_TRUE(peer.poll_until(loop_, [&] { return server_->connection_count() == 0; }));
  EXPECT_EQ(peer.goaway(), std::uint32_t{NGHTTP2_NO_ERROR});
}

TEST_F(Http2ServerTest, a_body_that_stops_arriving_is_given_up) {
  start({.body_timeout = milliseconds(3'000)});
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "ab", {}, false);
  ASSERT_TRUE(
      peer.poll_until(loop_, [&] { return router_.count() == 1 && router_.at(0).body == "ab"; }));
  for (int i = 0; i < 5; ++i) advance(milliseconds(1'001));
  EXPECT_TRUE(router_.at(0).is_cancelled);
  EXPECT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).reset.has_value(); }));
}

TEST_F(Http2ServerTest, traffic_on_one_stream_does_not_hide_another_that_stalls) {
  start({.body_timeout = milliseconds(3'000)});
  Http2Peer peer(port_);
  const auto stalled = peer.request("POST", "/stalled", "ab", {}, false);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.count() == 1; }));
  answer_at_end("hello");
  for (int i = 0; i < 10; ++i) {
    advance(milliseconds(500));
    peer.wait(loop_, peer.request("GET", "/"));
  }
  EXPECT_TRUE(router_.at(0).is_cancelled);
  EXPECT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(stalled).reset.has_value(); }));
}

TEST_F(Http2ServerTest, a_malformed_head_resets_its_stream_and_ends_nothing_else) {
  start({.head_timeout = milliseconds(2'000)});
  Http2Peer peer(port_);
  const auto good = peer.request("GET", "/good");
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.count() == 1; }));
  const auto& bad = peer.wait(loop_, peer.request("GET", "/bad", "", {{"connection", "close"}}));
  EXPECT_EQ(bad.reset, std::uint32_t{NGHTTP2_PROTOCOL_ERROR});
  for (int i = 0; i < 5; ++i) advance(milliseconds(1'001));
  ASSERT_FALSE(router_.at(0).is_cancelled);
  ScriptedRouter::answer(router_.at(0), "fine");
  EXPECT_EQ(peer.wait(loop_, good).body, "fine");
}

// A whole GET for stream `id`, as one HEADERS frame with END_STREAM and END_HEADERS.
std::string get_frame(char id) {
  std::string frame("\0\0\6\1\5\0\0\0", 8);
  frame += id;
  return frame + "\x82\x86\x84\x41\x01h";  // :method GET, :scheme http, :path /, :authority h
}

TEST_F(Http2ServerTest, a_stream_whose_id_was_passed_over_ends_the_connection) {
  start();
  answer_at_end("hello");
  Http2Peer peer(port_);
  peer.poll_until(loop_, [] { return false; }, 10);
  peer.raw().send(get_frame(1) + get_frame(3) + get_frame(9));
  ASSERT_TRUE(run_until(loop_, [&] { return router_.count() == 3; }));
  EXPECT_EQ(server_->connection_count(), 1u);
  peer.raw().send(get_frame(7));
  EXPECT_TRUE(run_until(loop_, [&] { return peer.raw().is_gone(); }));
  EXPECT_EQ(router_.count(), 3u);
  const std::string goaway("\0\0\10\7\0\0\0\0\0\0\0\0\11\0\0\0\1",
                           17);  // PROTOCOL_ERROR, last stream 9
  EXPECT_TRUE(peer.raw().has_received(goaway));
}

// A client cannot know yet that the stream is closed when it sends the trailers.
TEST_F(Http2ServerTest, headers_on_a_stream_that_we_reset_are_no_error) {
  start();
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "a", {}, false);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.count() == 1; }));
  router_.at(0).exchange->abort();
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).reset.has_value(); }));
  peer.raw().send(std::string("\0\0\4\1\5\0\0\0\1\x40\x01x\x00", 13));
  run_turns(loop_, 10);
  EXPECT_EQ(server_->connection_count(), 1u);
}

TEST_F(Http2ServerTest, headers_on_a_stream_that_its_client_ended_close_the_connection) {
  start();
  Http2Peer peer(port_);
  peer.poll_until(loop_, [] { return false; }, 10);
  peer.raw().send(get_frame(1) + get_frame(1));
  EXPECT_TRUE(run_until(loop_, [&] { return peer.raw().is_gone(); }));
  EXPECT_EQ(router_.count(), 1u);
}

TEST_F(Http2ServerTest, a_head_that_stops_is_closed_in_time) {
  start({.head_timeout = milliseconds(2'000), .keep_alive_timeout = one_hour});
  Http2Peer peer(port_);
  peer.poll_until(loop_, [] { return false; }, 10);
  peer.raw().send(std::string("\0\0\1\1\0\0\0\0\1\x82", 10));  // HEADERS, not its end
  EXPECT_TRUE(run_until(loop_, [&] {
    clock_.advance(milliseconds(100));
    return peer.raw().is_gone();
  }));
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(Http2ServerTest, two_names_for_one_host_are_refused) {
  start();
  Http2Peer peer(port_);
  const auto& answer = peer.wait(loop_, peer.request("GET", "/", "", {{"host", "other.test"}}));
  EXPECT_EQ(answer.status(), "400");
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(Http2ServerTest, ends_an_answer_with_its_trailers) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    if (seen.target == "/body") seen.exchange->send_body("pounds");
    HeaderList trailers;
    trailers.add("Grpc-Status", "5");
    trailers.add("Connection", "close");
    seen.exchange->finish_with(trailers);
  };
  Http2Peer peer(port_);
  for (const std::string path : {"/body", "/none"}) {
    const Http2Peer::Answer& answer = peer.wait(loop_, peer.request("GET", path));
    EXPECT_EQ(answer.status(), "200");
    EXPECT_EQ(answer.body, path == "/body" ? "pounds" : "");
    EXPECT_EQ(answer.trailers, (testing::Fields{{"grpc-status", "5"}}));
    EXPECT_TRUE(answer.is_ended);
    EXPECT_FALSE(answer.is_head_all);
  }
}

TEST_F(Http2ServerTest, keeps_trailers_behind_a_body_that_waits_for_the_window) {
  start();
  const std::string body(200'000, 'b');
  router_.when_ended = [&body](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body(body);
    HeaderList trailers;
    trailers.add("sum", "1");
    seen.exchange->finish_with(trailers);
  };
  Http2Peer peer(port_);
  const Http2Peer::Answer& answer = peer.wait(loop_, peer.request("GET", "/"));
  EXPECT_EQ(answer.body, body);
  EXPECT_EQ(answer.trailers, (testing::Fields{{"sum", "1"}}));
}

TEST_F(Http2ServerTest, ends_the_stream_with_a_head_that_has_no_body) {
  start();
  router_.when_ended = [](Seen& seen) {
    AnswerHead head{.has_body = false};
    head.headers.add("grpc-status", "16");
    seen.exchange->send_head(head);
    seen.exchange->finish();
  };
  Http2Peer peer(port_);
  const Http2Peer::Answer& answer = peer.wait(loop_, peer.request("POST", "/", "x"));
  EXPECT_TRUE(answer.is_head_all);
  EXPECT_EQ(answer.field("grpc-status"), "16");
  EXPECT_EQ(answer.field("content-length"), "");
}

}  // namespace
}  // namespace staithe::net
