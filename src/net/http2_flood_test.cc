#include <memory>
#include <string>
#include <vector>

#include "net/http2_test_kit.h"
#include "net/server_test_kit.h"

// Clients of HTTP/2 that make the server work, or hold memory, for nothing; and busy ones that must
// not be mistaken for them.
namespace staithe::net {
namespace {

using std::chrono::milliseconds;
using testing::Fields;
using testing::Http2Peer;
using testing::run_turns;
using testing::ScriptedRouter;
using testing::Seen;

constexpr char data = 0;
constexpr char headers = 1;
constexpr char priority = 2;
constexpr char rst_stream = 3;
constexpr char settings = 4;
constexpr char ping = 6;
constexpr char window_update = 8;
constexpr char continuation = 9;

std::string uint32_text(std::uint32_t number) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(number >> shift & 0xff);
  return text;
}

// RFC 9113 section 4.1.
std::string frame(char type, char flags, std::int32_t stream_id, std::string_view payload) {
  std::string bytes = uint32_text(static_cast<std::uint32_t>(payload.size())).substr(1);
  bytes += type;
  bytes += flags;
  bytes += uint32_text(static_cast<std::uint32_t>(stream_id));
  return bytes.append(payload);
}

class Http2FloodTest : public testing::ServerTest {
 protected:
  // The peer's own frames are all sent, so that raw ones can go in between.
  void settle(Http2Peer& peer, int turns = 5) {
    peer.poll_until(loop_, [] { return false; }, turns);
  }
  // Sends `bytes` again and again until the server has had enough.
  ::testing::AssertionResult ends(Http2Peer& peer, std::string_view bytes) {
    std::string many;
    while (many.size() < 32'768) many += bytes;
    for (int i = 0; i < 400 && server_->connection_count() > 0; ++i) {
      peer.raw().send_some(many);
      run_turns(loop_, 2);
      if (peer.raw().is_gone()) peer.raw().close();
    }
    if (server_->connection_count() == 0) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "the connection goes on";
  }
  // Opens streams in rounds and does `provoke` to each, until the server says it is enough.
  template <typename Provoke>
  void expect_calm_down(Provoke provoke, std::string body = {}, const Fields& more = {}) {
    Http2Peer peer(port_);
    settle(peer);
    for (int round = 0; round < 100 && !peer.goaway() && !peer.raw().is_gone(); ++round) {
      std::vector<std::int32_t> ids;
      for (int i = 0; i < 50; ++i) ids.push_back(peer.request("POST", "/", body, more, false));
      settle(peer, 2);
      std::string frames;
      for (const auto id : ids) frames += provoke(id);
      peer.raw().send_some(frames);
      settle(peer, 2);
    }
    EXPECT_EQ(peer.goaway(), std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
    EXPECT_LE(router_.count(), 450u);
    EXPECT_TRUE(peer.poll_until(loop_, [&] { return peer.raw().is_gone(); }));
    EXPECT_EQ(server_->exchange_count(), 0u);
  }
};

TEST_F(Http2FloodTest, rapid_resets_end_the_connection) {
  start();
  Http2Peer peer(port_);
  for (int round = 0; round < 100 && !peer.goaway(); ++round) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(peer.request("GET", "/"));
    peer.poll();
    for (const auto id : ids) peer.reset(id);
    settle(peer, 2);
  }
  EXPECT_EQ(peer.goaway(), std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_LE(router_.count(), 350u);
  EXPECT_TRUE(peer.poll_until(loop_, [&] { return peer.raw().is_gone(); }));
  EXPECT_EQ(server_->exchange_count(), 0u);
}

TEST_F(Http2FloodTest, a_credit_of_nothing_ends_the_connection) {
  start();
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "", {}, false);
  settle(peer);
  peer.raw().send(frame(window_update, 0, id, uint32_text(0)));
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.raw().is_gone(); }));
  EXPECT_EQ(peer.goaway(), std::uint32_t{NGHTTP2_PROTOCOL_ERROR});
  EXPECT_EQ(server_->exchange_count(), 0u);
}

TEST_F(Http2FloodTest, credits_beyond_the_largest_window_reset_their_streams_only_so_often) {
  start();
  expect_calm_down([](auto id) { return frame(window_update, 0, id, uint32_text(0x7fffffff)); });
}

TEST_F(Http2FloodTest, bodies_beyond_their_length_reset_their_streams_only_so_often) {
  start();
  expect_calm_down([](auto id) { return frame(data, 0, id, "abc"); }, "",
                   {{"content-length", "2"}});
}

TEST_F(Http2FloodTest, a_second_head_resets_its_stream_only_so_often) {
  start();
  const std::string get("\x82\x86\x84\x41\x01h", 6);  // RFC 7541 appendix A: the request line
  expect_calm_down([&](auto id) { return frame(headers, 4, id, get); });
}

TEST_F(Http2FloodTest, heads_that_are_none_reset_their_streams_only_so_often) {
  start();
  expect_calm_down([](auto) { return std::string{}; }, "", {{"connection", "close"}});
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(Http2FloodTest, answers_that_end_uploads_early_are_no_flood) {
  start();
  router_.when_requested = [](Seen& seen) { ScriptedRouter::answer(seen, "no", 413); };
  Http2Peer peer(port_);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 50; ++i) ids.push_back(peer.request("POST", "/", "a", {}, false));
    for (const auto id : ids) ASSERT_EQ(peer.wait(loop_, id).status(), "413");
  }
  EXPECT_FALSE(peer.goaway());
}

TEST_F(Http2FloodTest, pings_without_end_close_the_connection) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  EXPECT_TRUE(ends(peer, frame(ping, 0, 0, "abcdefgh")));
}

TEST_F(Http2FloodTest, settings_without_end_close_the_connection) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  EXPECT_TRUE(ends(peer, frame(settings, 0, 0, "")));
}

TEST_F(Http2FloodTest, empty_data_without_end_closes_the_connection) {
  start();
  Http2Peer peer(port_);
  const auto id = peer.request("POST", "/", "a", {}, false);
  settle(peer);
  EXPECT_TRUE(ends(peer, frame(data, 0, id, "")));
}

TEST_F(Http2FloodTest, priorities_without_end_close_the_connection) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  EXPECT_TRUE(ends(peer, frame(priority, 0, 1, uint32_text(3) + "\x10")));
}

TEST_F(Http2FloodTest, credits_without_a_need_close_the_connection) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  EXPECT_TRUE(ends(peer, frame(window_update, 0, 0, uint32_text(1))));
}

TEST_F(Http2FloodTest, credits_of_one_byte_are_not_worth_their_frame) {
  start();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body(std::string(1'000'000, 'x'));
  };
  Http2Peer peer(port_, false);
  const auto id = peer.request("GET", "/");
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).body.size() == 65'535; }));
  EXPECT_TRUE(ends(peer, frame(window_update, 0, 0, uint32_text(1)) +
                             frame(window_update, 0, id, uint32_text(1))));
}

TEST_F(Http2FloodTest, continuations_without_end_close_the_connection_whatever_is_in_them) {
  for (const std::size_t size : {0u, 1u, 16'000u}) {
    start();
    Http2Peer peer(port_);
    settle(peer);
    peer.raw().send(frame(headers, 0, 1, "\x82"));
    // An indexed field, or a literal one of some size.
    const std::string field =
        size <= 1 ? "\x82" : std::string("\0\1x\x7f\x81\x7c", 6) + std::string(16'000, 'v');
    EXPECT_TRUE(ends(peer, frame(continuation, 0, 1, field.substr(0, size)))) << size;
    EXPECT_EQ(router_.count(), 0u);
  }
}

TEST_F(Http2FloodTest, a_head_that_unpacks_to_megabytes_is_too_large_and_costs_no_memory) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  // A field of 4,000 bytes that joins the dynamic table, and then is named 12,000 times by one byte
  // each: 48 MB (RFC 7541 section 2.3.3, index 62 is the newest).
  std::string block("\x82\x86\x84\x41\x01h\x40\1x\x7f\xa1\x1e", 12);
  block += std::string(4'000, 'v') + std::string(12'000, '\xbe');
  peer.raw().send(frame(headers, 5, 1, block));
  // By hand from here on: the peer's own session does not know of this stream.
  EXPECT_TRUE(testing::run_until(loop_, [&] { return !peer.raw().received().empty(); }));
  EXPECT_EQ(router_.count(), 0u);
  EXPECT_EQ(server_->connection_count(), 1u);
  peer.raw().forget_received();
  peer.raw().send(frame(ping, 0, 0, "abcdefgh"));
  EXPECT_TRUE(testing::run_until(
      loop_, [&] { return peer.raw().has_received(frame(ping, 1, 0, "abcdefgh")); }));
}

TEST_F(Http2FloodTest, a_connection_that_takes_no_answer_has_its_requests_refused) {
  start({.write_timeout = milliseconds(10'000)});
  answer_at_end(std::string(100'000, 'x'));
  Http2Peer peer(port_);
  const nghttp2_settings_entry no_window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
  nghttp2_submit_settings(peer.session(), NGHTTP2_FLAG_NONE, &no_window, 1);
  settle(peer);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 200; ++i) ids.push_back(peer.request("GET", "/"));
  settle(peer, 20);
  // 8 MiB, and the one that goes beyond it.
  EXPECT_EQ(router_.count(), 84u);
  EXPECT_EQ(peer.answer(ids.back()).reset, std::uint32_t{NGHTTP2_REFUSED_STREAM});
  EXPECT_EQ(peer.answer(ids.front()).status(), "200");

  for (int i = 0; i < 12; ++i) advance(milliseconds(1'001));
  settle(peer);
  EXPECT_EQ(peer.answer(ids.front()).reset, std::uint32_t{NGHTTP2_CANCEL});
  const auto next = peer.request("GET", "/");
  settle(peer);
  EXPECT_EQ(router_.count(), 85u);
  EXPECT_EQ(peer.answer(next).status(), "200");
}

TEST_F(Http2FloodTest, a_ping_for_each_answer_is_no_flood) {
  start();
  answer_at_end("ok");
  Http2Peer peer(port_);
  for (int round = 0; round < 150; ++round) {
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 100; ++i) {
      ids.push_back(peer.request("GET", "/"));
      nghttp2_submit_ping(peer.session(), NGHTTP2_FLAG_NONE, nullptr);
    }
    for (const auto id : ids) ASSERT_EQ(peer.wait(loop_, id).body, "ok") << round;
  }
  EXPECT_FALSE(peer.goaway());
}

TEST_F(Http2FloodTest, credit_for_every_4_kilobytes_of_a_download_is_no_flood) {
  start();
  constexpr std::size_t total = 24 * 1024 * 1024;
  std::size_t left = total;
  const auto feed = [&left](Seen& seen) {
    const std::string piece(64 * 1024, 'x');
    for (; left > 0 && !seen.exchange->is_congested(); left -= piece.size())
      seen.exchange->send_body(piece);
    if (left == 0) seen.exchange->finish();
  };
  router_.when_ended = [&](Seen& seen) {
    seen.exchange->send_head({.status = 200, .content_length = total});
    feed(seen);
  };
  router_.when_writable = feed;
  Http2Peer peer(port_, false);
  const auto id = peer.request("GET", "/");
  std::size_t credited = 0;
  EXPECT_TRUE(peer.poll_until(
      loop_,
      [&] {
        for (; credited + 4'096 <= peer.answer(id).body.size(); credited += 4'096) {
          for (const std::int32_t whose : {id, 0})
            nghttp2_submit_window_update(peer.session(), NGHTTP2_FLAG_NONE, whose, 4'096);
        }
        return peer.answer(id).is_ended || peer.goaway();
      },
      20'000));
  EXPECT_EQ(peer.answer(id).body.size(), total);
  EXPECT_FALSE(peer.goaway());
}

TEST_F(Http2FloodTest, a_client_that_is_told_off_can_read_why_although_it_sends_on) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += frame(ping, 1, 0, "abcdefgh");
  for (int i = 0; i < 10; ++i) {
    peer.raw().send_some(many);
    run_turns(loop_, 1);
  }
  settle(peer);
  EXPECT_EQ(peer.goaway(), std::uint32_t{NGHTTP2_ENHANCE_YOUR_CALM});
  EXPECT_TRUE(peer.raw().is_ended());
  EXPECT_FALSE(peer.raw().is_reset());
  // It is read on for a while, and then no more.
  EXPECT_EQ(server_->connection_count(), 1u);
  advance(milliseconds(6'000));
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(Http2FloodTest, a_client_that_is_told_off_and_sends_on_and_on_is_cut_off) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  std::string many;
  while (many.size() < 32'768) many += frame(ping, 0, 0, "abcdefgh");
  std::size_t sent = 0;
  for (int i = 0; i < 100 && server_->connection_count() > 0; ++i) {
    sent += peer.raw().send_some(many);
    run_turns(loop_, 2);
  }
  EXPECT_EQ(server_->connection_count(), 0u);
  EXPECT_LT(sent, 600'000u);
}

TEST_F(Http2FloodTest, resets_of_streams_that_never_were_end_the_connection) {
  start();
  Http2Peer peer(port_);
  settle(peer);
  EXPECT_TRUE(ends(peer, frame(rst_stream, 0, 1, uint32_text(8))));
}

}  // namespace
}  // namespace staithe::net
