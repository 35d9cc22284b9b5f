#include <string>

#include "net/http2_test_kit.h"
#include "net/server_test_kit.h"

// Clients that keep just within each deadline: no connection is held for ever by a few bytes.
namespace staithe::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Http2Peer;
using testing::RawPeer;
using testing::run_turns;
using testing::run_until;
using testing::Seen;

constexpr ServerLimits limits{.body_timeout = milliseconds(60'000),
                              .write_timeout = milliseconds(60'000),
                              .pace_bytes_min = 16'384};

class SlowClientTest : public testing::ServerTest {
 protected:
  void SetUp() override { start(limits); }
  RawPeer begin_upload(const std::string& framing) {
    RawPeer peer = RawPeer::connect(port_);
    peer.send("POST / HTTP/1.1\r\nHost: h\r\n" + framing + "\r\n\r\n");
    CHECK(run_until(loop_, [&] { return router_.count() == 1; }));
    return peer;
  }
  void send(RawPeer& peer, std::string_view bytes) {
    peer.send(bytes);
    run_turns(loop_, 3);
  }
};

TEST_F(SlowClientTest, a_body_that_drips_is_given_up) {
  RawPeer peer = begin_upload("Content-Length: 1000000");
  send(peer, "a");
  advance(seconds(59));
  EXPECT_FALSE(router_.last().is_cancelled);
  send(peer, "b");
  EXPECT_EQ(router_.last().body, "ab");
  advance(seconds(1));
  EXPECT_TRUE(router_.last().is_cancelled);
  ASSERT_TRUE(run_until(loop_, [&] { return peer.is_ended(); }));
  EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 408 "));
}

TEST_F(SlowClientTest, chunk_lines_and_trailers_are_no_progress) {
  RawPeer peer = begin_upload("Transfer-Encoding: chunked");
  std::string drip;
  for (int i = 0; i < 200; ++i) drip += "1;" + std::string(200, 'x') + "\r\na\r\n";
  for (int i = 0; i < 3; ++i) {
    send(peer, drip);
    advance(seconds(19));
  }
  send(peer, "0\r\nX: ");
  EXPECT_FALSE(router_.last().is_cancelled);
  advance(seconds(3));
  EXPECT_TRUE(router_.last().is_cancelled);
}

TEST_F(SlowClientTest, a_slow_upload_that_goes_on_is_taken_however_long_it_takes) {
  RawPeer peer = begin_upload("Content-Length: 1638400");
  const std::string piece(8'192, 'x');
  for (int i = 0; i < 200; ++i) {
    send(peer, piece);
    advance(seconds(29));
    ASSERT_FALSE(router_.last().is_cancelled) << i;
  }
  EXPECT_EQ(router_.last().body.size(), 1'638'400u);
  EXPECT_TRUE(router_.last().is_ended);
}

TEST_F(SlowClientTest, a_fast_start_buys_no_time) {
  RawPeer peer = begin_upload("Content-Length: 100000000");
  for (int i = 0; i < 64; ++i) send(peer, std::string(16'384, 'x'));
  advance(seconds(59));
  send(peer, "x");
  advance(seconds(1));
  EXPECT_TRUE(router_.last().is_cancelled);
}

TEST_F(SlowClientTest, what_is_left_of_a_request_answered_early_must_come_in_time) {
  router_.when_requested = [](Seen& seen) { testing::ScriptedRouter::answer(seen, "early"); };
  RawPeer peer = begin_upload("Content-Length: 1000");
  ASSERT_TRUE(run_until(loop_, [&] { return peer.has_received("early"); }));
  for (int i = 0; i < 6; ++i) {
    send(peer, "x");
    advance(seconds(11));
  }
  EXPECT_TRUE(run_until(loop_, [&] { return peer.is_ended(); }));
}

TEST_F(SlowClientTest, an_http_2_body_that_drips_is_given_up) {
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "a", {}, false);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.count() == 1; }));
  for (int i = 0; i < 2; ++i) {
    advance(seconds(29));
    peer.send_more(id, "b", false);
    ASSERT_TRUE(peer.poll_until(loop_, [&] { return router_.at(0).body.size() == i + 2u; }));
  }
  EXPECT_FALSE(router_.at(0).is_cancelled);
  advance(seconds(2));
  EXPECT_TRUE(router_.at(0).is_cancelled);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).reset.has_value(); }));
  EXPECT_EQ(peer.answer(id).reset, std::uint32_t{NGHTTP2_CANCEL});
}

TEST_F(SlowClientTest, a_slow_http_2_upload_that_goes_on_is_taken) {
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "", {}, false);
  for (int i = 0; i < 40; ++i) {
    peer.send_more(id, std::string(8'192, 'x'), i == 39);
    ASSERT_TRUE(peer.poll_until(loop_, [&] {
      return router_.count() == 1 && router_.at(0).body.size() == (i + 1u) * 8'192;
    }));
    advance(seconds(29));
    ASSERT_FALSE(router_.at(0).is_cancelled) << i;
  }
  EXPECT_EQ(router_.at(0).body.size(), 40u * 8'192);
  EXPECT_TRUE(router_.at(0).is_ended);
}

// Opens the window of stream `id` and of the connection by `size` bytes.
void give_credit(Http2Peer& peer, std::int32_t id, std::int32_t size) {
  CHECK(nghttp2_submit_window_update(peer.session(), NGHTTP2_FLAG_NONE, id, size) == 0);
  CHECK(nghttp2_submit_window_update(peer.session(), NGHTTP2_FLAG_NONE, 0, size) == 0);
}

TEST_F(SlowClientTest, an_http_2_answer_that_is_taken_byte_by_byte_is_given_up) {
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body(std::string(200'000, 'x'));
  };
  Http2Peer peer(port_, false);
  const auto id = peer.request("GET", "/");
  // The first window of HTTP/2.
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).body.size() == 65'535; }));
  advance(seconds(59));
  EXPECT_FALSE(router_.at(0).is_cancelled);
  for (int i = 0; i < 3; ++i) {
    give_credit(peer, id, 1);
    ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).body.size() == 65'536u + i; }));
    advance(seconds(21));
  }
  EXPECT_TRUE(router_.at(0).is_cancelled);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).reset.has_value(); }));
}

TEST_F(SlowClientTest, an_http_2_answer_that_is_taken_slowly_goes_on) {
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body(std::string(400'000, 'x'));
    seen.exchange->finish();
  };
  Http2Peer peer(port_, false);
  const auto id = peer.request("GET", "/");
  for (int i = 0; i < 60 && !peer.answer(id).is_ended; ++i) {
    peer.poll_until(loop_, [] { return false; }, 5);
    advance(seconds(29));
    give_credit(peer, id, 8'192);
  }
  EXPECT_EQ(peer.answer(id).body.size(), 400'000u);
  EXPECT_TRUE(peer.answer(id).is_ended);
}

}  // namespace
}  // namespace staithe::net
