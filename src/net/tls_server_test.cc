#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http2_test_kit.h"
#include "net/server_test_kit.h"
#include "net/tls_test_kit.h"

namespace staithe::net {
namespace {

using std::chrono::milliseconds;
using testing::BasicHttp2Peer;
using testing::Http2Peer;
using testing::Identity;
using testing::RawPeer;
using testing::run_turns;
using testing::run_until;
using testing::ScriptedRouter;
using testing::Seen;
using testing::TemporaryFolder;
using testing::TlsPeer;
using Speech = TlsPolicy::Speech;

constexpr std::string_view get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr milliseconds one_hour{3'600'000};

class TlsServerTest : public testing::ServerTest {
 protected:
  void serve(Speech speech = Speech::both, ServerLimits limits = {}) {
    start(limits, {speech, &contexts_});
  }
  // A client whose handshake is done.
  std::unique_ptr<TlsPeer> connect(const TlsPeer::Options& options = {}) {
    auto peer = std::make_unique<TlsPeer>(port_, options);
    EXPECT_TRUE(until([&] {
      peer->poll();
      return peer->is_established();
    })) << peer->failure();
    return peer;
  }
  ::testing::AssertionResult receives(TlsPeer& peer, std::string_view text) {
    if (until([&] { return peer.has_received(text); })) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "got: " << peer.received() << peer.failure();
  }
  bool until(const std::function<bool()>& is_done) { return run_until(loop_, is_done, 2'000); }
  // Turns that wait a little: what was sent may take the kernel a moment.
  void let_bytes_arrive() {
    run_until(loop_, [] { return false; }, 5);
  }
  std::shared_ptr<const TlsContext> load(const Identity& identity, ClientCertificates mode,
                                         const Identity* client_ca = nullptr) {
    TlsFiles files{.certificate = folder_.write("cert.pem", identity.certificate_pem()),
                   .key = folder_.write("key.pem", identity.key_pem()),
                   .client_certificates = mode};
    if (client_ca != nullptr) {
      files.client_ca = folder_.write("ca.pem", client_ca->certificate_pem());
    }
    return TlsContext::load(files).value();
  }

  TemporaryFolder folder_;
  Identity authority_{{.name = "test authority", .is_authority = true}};
  Identity identity_{{}, &authority_};
  TlsContextSlot contexts_{load(identity_, ClientCertificates::none)};
};

// --- Who speaks what -----------------------------------------------------------------------------

TEST_F(TlsServerTest, alpn_chooses_http_1_1) {
  serve();
  answer_at_end("hello");
  auto peer = connect({.protocols = {"http/1.1"}, .trusted = &authority_});
  EXPECT_EQ(peer->protocol(), "http/1.1");
  for (int i = 0; i < 3; ++i) {
    peer->forget_received();
    peer->send(get);
    ASSERT_TRUE(receives(*peer, "\r\n\r\nhello"));
  }
  EXPECT_EQ(router_.count(), 3u);
  EXPECT_EQ(server_->connection_count(), 1u);
  EXPECT_EQ(server_->handshake_count(), 0u);
}

TEST_F(TlsServerTest, alpn_prefers_h2_whatever_the_clients_order) {
  serve();
  answer_at_end("hello");
  auto tls = connect({.protocols = {"http/1.1", "h2"}, .trusted = &authority_});
  EXPECT_EQ(tls->protocol(), "h2");
  BasicHttp2Peer<TlsPeer> peer(std::move(*tls));
  for (int i = 0; i < 3; ++i) {
    const auto& answer = peer.wait(loop_, peer.request("GET", "/a"));
    EXPECT_EQ(answer.status(), "200");
    EXPECT_EQ(answer.body, "hello");
  }
  EXPECT_EQ(server_->connection_count(), 1u);
}

TEST_F(TlsServerTest, without_alpn_the_first_bytes_tell) {
  serve();
  answer_at_end("hello");
  auto first = connect();
  EXPECT_EQ(first->protocol(), "");
  first->send(get);
  EXPECT_TRUE(receives(*first, "hello"));

  BasicHttp2Peer<TlsPeer> second(std::move(*connect()));
  EXPECT_EQ(second.wait(loop_, second.request("GET", "/")).body, "hello");
}

TEST_F(TlsServerTest, refuses_a_client_that_offers_nothing_we_speak) {
  serve();
  TlsPeer peer(port_, {.protocols = {"spdy/3"}});
  EXPECT_TRUE(until([&] { return peer.is_gone(); }));
  EXPECT_EQ(peer.failure(), "tlsv1 alert no application protocol");
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(TlsServerTest, serves_cleartext_of_both_versions_beside_tls_on_one_port) {
  serve();
  answer_at_end("hello");
  RawPeer first = RawPeer::connect(port_);
  first.send(get);
  EXPECT_TRUE(until([&] { return first.has_received("hello"); }));
  Http2Peer second(port_);
  EXPECT_EQ(second.wait(loop_, second.request("GET", "/")).body, "hello");
  auto third = connect();
  third->send(get);
  EXPECT_TRUE(receives(*third, "hello"));
}

TEST_F(TlsServerTest, tells_a_handler_whether_the_request_came_over_tls) {
  serve();
  std::vector<bool> secure;
  router_.when_requested = [&](Seen& seen) { secure.push_back(seen.exchange->is_secure()); };
  answer_at_end("ok");
  RawPeer first = RawPeer::connect(port_);
  first.send(get);
  ASSERT_TRUE(until([&] { return first.has_received("ok"); }));
  auto second = connect();
  second->send(get);
  ASSERT_TRUE(receives(*second, "ok"));
  BasicHttp2Peer<TlsPeer> third(std::move(*connect({.protocols = {"h2"}})));
  third.wait(loop_, third.request("GET", "/"));
  EXPECT_EQ(secure, (std::vector<bool>{false, true, true}));
}

TEST_F(TlsServerTest, answers_cleartext_on_a_tls_port_with_the_way_to_go) {
  serve(Speech::tls);
  for (const std::string_view request :
       {get, std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}) {
    RawPeer peer = RawPeer::connect(port_);
    peer.send(request);
    ASSERT_TRUE(until([&] { return peer.is_ended(); }));
    EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 400 Bad Request\r\n")) << peer.received();
    EXPECT_TRUE(peer.has_received("https://"));
    EXPECT_TRUE(peer.has_received("Connection: close"));
    EXPECT_FALSE(peer.is_reset());
  }
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(TlsServerTest, closes_on_tls_that_comes_to_a_cleartext_port) {
  start();
  TlsPeer peer(port_);
  EXPECT_TRUE(until([&] { return peer.is_gone(); }));
  EXPECT_FALSE(peer.is_established());
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(TlsServerTest, speaks_tls_1_2_and_1_3_and_refuses_1_1) {
  serve();
  answer_at_end("hello");
  for (const auto& [version, name] :
       {std::pair{TLS1_2_VERSION, "TLSv1.2"}, {TLS1_3_VERSION, "TLSv1.3"}}) {
    auto peer = connect({.version_min = version, .version_max = version});
    EXPECT_EQ(peer->version(), name);
    peer->send(get);
    EXPECT_TRUE(receives(*peer, "hello"));
  }
  TlsPeer old(port_, {.version_min = TLS1_VERSION, .version_max = TLS1_1_VERSION});
  EXPECT_TRUE(until([&] { return old.is_gone(); }));
  EXPECT_EQ(old.failure(), "tlsv1 alert protocol version");
}

TEST_F(TlsServerTest, takes_a_request_that_comes_with_the_end_of_the_handshake) {
  serve();
  answer_at_end("hello");
  TlsPeer peer(port_, {.protocols = {"http/1.1"}});
  // The client's last message stays with it until the request is there, too.
  const std::string flight = peer.take_first_flight();
  peer.raw().send(flight);
  ASSERT_TRUE(until([&] {
    peer.poll_without_sending();
    return peer.is_established();
  }));
  peer.send(get);
  EXPECT_TRUE(receives(peer, "hello"));
}

TEST_F(TlsServerTest, resumes_sessions_without_remembering_them) {
  const Identity client_authority({.name = "client authority", .is_authority = true});
  contexts_.set(load(identity_, ClientCertificates::required, &client_authority));
  serve();
  answer_at_end("hello");
  const Identity client({.name = "client"}, &client_authority);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto first = connect({.version_max = version, .own = &client});
    first->send(get);
    ASSERT_TRUE(receives(*first, "hello"));
    SSL_SESSION* const session = SSL_get1_session(first->ssl());
    auto second = connect({.version_max = version, .own = &client, .session = session});
    SSL_SESSION_free(session);
    EXPECT_EQ(SSL_session_reused(second->ssl()), 1);
    second->send(get);
    EXPECT_TRUE(receives(*second, "hello"));
  }
}

TEST_F(TlsServerTest, does_not_renegotiate) {
  serve();
  auto peer = connect({.version_max = TLS1_2_VERSION});
  CHECK(SSL_renegotiate(peer->ssl()) == 1);
  SSL_do_handshake(peer->ssl());
  EXPECT_TRUE(until([&] {
    peer->poll();
    return peer->is_failed();
  }));
  EXPECT_EQ(peer->failure(), "no renegotiation");
}

// --- Bytes ---------------------------------------------------------------------------------------

std::string megabytes(std::size_t count) {
  std::string bytes(count * 1024 * 1024, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>('a' + i / 7 % 26);
  return bytes;
}

TEST_F(TlsServerTest, takes_five_megabytes_from_a_client_whose_body_is_paused_again_and_again) {
  serve();
  const std::string body = megabytes(5);
  std::size_t taken = 0;
  router_.when_body = [&](Seen& seen) {
    if (seen.body.size() - taken < 300'000) return;
    taken = seen.body.size();
    seen.exchange->pause_body();
    Exchange* const exchange = seen.exchange;
    loop_.run_after(Duration::zero(), [exchange] { exchange->resume_body(); });
  };
  answer_at_end("thanks");
  auto peer = connect({.protocols = {"http/1.1"}});
  std::string unsent =
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
      body;
  ASSERT_TRUE(run_until(
      loop_,
      [&] {
        unsent.erase(0, peer->send_some(unsent));
        return peer->has_received("thanks");
      },
      20'000));
  EXPECT_EQ(router_.last().body, body);
}

TEST_F(TlsServerTest, a_paused_body_holds_the_client_back) {
  serve();
  router_.when_requested = [](Seen& seen) { seen.exchange->pause_body(); };
  answer_at_end("thanks");
  auto peer = connect({.protocols = {"http/1.1"}});
  const std::string body = megabytes(16);
  std::string unsent =
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
      body;
  // Until the kernels are full, and then some.
  std::size_t left = 0;
  ASSERT_TRUE(until([&] {
    unsent.erase(0, peer->send_some(unsent));
    return router_.count() > 0 && std::exchange(left, unsent.size()) == unsent.size();
  }));
  for (int i = 0; i < 20; ++i) {
    loop_.run_once(Duration::zero());
    unsent.erase(0, peer->send_some(unsent));
  }
  EXPECT_GT(unsent.size(), 1024u * 1024) << "more was read than anybody asked for";
  EXPECT_TRUE(router_.last().body.empty());
  EXPECT_FALSE(router_.last().is_cancelled);

  router_.last().exchange->resume_body();
  ASSERT_TRUE(run_until(
      loop_,
      [&] {
        unsent.erase(0, peer->send_some(unsent));
        return peer->has_received("thanks");
      },
      20'000));
  EXPECT_EQ(router_.last().body, body);
}

TEST_F(TlsServerTest, sends_five_megabytes_no_faster_than_the_client_reads) {
  serve();
  const std::string body = megabytes(5);
  std::size_t given = 0;
  std::size_t unsent_max = 0;
  const auto feed = [&](Seen& seen) {
    while (given < body.size() && !seen.exchange->is_congested()) {
      const auto part = std::string_view(body).substr(given, 20'000);
      given += part.size();
      seen.exchange->send_body(part);
      unsent_max = std::max(unsent_max, seen.exchange->unsent_bytes());
    }
    if (given == body.size()) seen.exchange->finish();
  };
  router_.when_ended = [&](Seen& seen) {
    seen.exchange->send_head({.content_length = body.size()});
    feed(seen);
  };
  router_.when_writable = feed;
  auto peer = connect({.protocols = {"http/1.1"}, .receive_buffer_bytes = 16'384});
  peer->send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1 && given > 0; }));
  run_turns(loop_, 50);
  EXPECT_LT(given, body.size()) << "a client that does not read is sent everything";
  EXPECT_LT(unsent_max, 3 * Exchange::high_water_bytes);

  ASSERT_TRUE(run_until(loop_, [&] { return peer->received().size() > body.size(); }, 50'000));
  EXPECT_TRUE(peer->received().ends_with(body));
  EXPECT_GT(router_.last().writable_count, 10);
}

TEST_F(TlsServerTest, carries_five_megabytes_both_ways_over_h2) {
  serve();
  const std::string body = megabytes(5);
  router_.when_ended = [](Seen& seen) { ScriptedRouter::answer(seen, seen.body); };
  BasicHttp2Peer<TlsPeer> peer(std::move(*connect({.protocols = {"h2"}})));
  const auto id = peer.request("POST", "/", body);
  ASSERT_TRUE(peer.poll_until(loop_, [&] { return peer.answer(id).is_ended; }, 50'000));
  EXPECT_EQ(peer.answer(id).body, body);
}

TEST_F(TlsServerTest, goes_on_when_the_client_changes_its_keys) {
  serve();
  answer_at_end("hello");
  auto peer = connect();
  peer->ask_for_new_keys();
  peer->send(get);
  EXPECT_TRUE(receives(*peer, "hello"));
}

TEST_F(TlsServerTest, ends_a_client_that_asks_for_new_keys_and_never_reads_ours) {
  serve();
  auto peer = connect({.receive_buffer_bytes = 4096});
  // Each of them is answered, and the answers pile up.
  EXPECT_TRUE(run_until(
      loop_,
      [&] {
        for (int i = 0; i < 100 && server_->connection_count() > 0; ++i) peer->ask_for_new_keys();
        return server_->connection_count() == 0;
      },
      20'000));
}

// --- Ends ----------------------------------------------------------------------------------------

TEST_F(TlsServerTest, a_hang_up_cancels_the_exchange) {
  serve();
  for (const bool is_reset : {false, true}) {
    auto peer = connect();
    peer->send(get);
    const std::size_t count = router_.count();
    ASSERT_TRUE(until([&] { return router_.count() > count && router_.last().is_ended; }));
    is_reset ? peer->raw().close_with_reset() : peer->raw().close();
    EXPECT_TRUE(until([&] { return router_.last().is_cancelled; }));
    EXPECT_EQ(server_->connection_count(), 0u);
  }
}

TEST_F(TlsServerTest, a_client_that_ends_tls_and_waits_for_ours_has_hung_up) {
  serve();
  auto peer = connect();
  peer->send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().is_ended; }));
  peer->send_close_notify();
  EXPECT_TRUE(until([&] { return router_.last().is_cancelled; }));
  EXPECT_TRUE(until([&] { return peer->is_gone(); }));
  EXPECT_TRUE(peer->has_close_notify());
}

TEST_F(TlsServerTest, a_hang_up_is_seen_behind_a_request_that_waits) {
  serve();
  auto peer = connect();
  peer->send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().is_ended; }));
  peer->send(get);
  let_bytes_arrive();
  peer->raw().close();
  EXPECT_TRUE(until([&] { return router_.at(0).is_cancelled; }));
  EXPECT_EQ(router_.count(), 1u);
}

TEST_F(TlsServerTest, a_request_read_ahead_is_answered_in_its_turn) {
  serve();
  auto peer = connect();
  peer->send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().is_ended; }));
  peer->send("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  let_bytes_arrive();
  EXPECT_EQ(router_.count(), 1u);
  ScriptedRouter::answer(router_.at(0), "one");
  ASSERT_TRUE(until([&] { return router_.count() == 2 && router_.last().is_ended; }));
  EXPECT_EQ(router_.last().target, "/b");
  ScriptedRouter::answer(router_.last(), "two");
  EXPECT_TRUE(receives(*peer, "two"));
}

TEST_F(TlsServerTest, an_idle_connection_that_ends_is_closed) {
  serve();
  auto first = connect({.protocols = {"http/1.1"}});
  first->send_close_notify();
  auto second = connect({.protocols = {"h2"}});
  second->raw().close();
  auto third = connect();
  third->send_close_notify();
  EXPECT_TRUE(until([&] { return server_->connection_count() == 0; }));
}

TEST_F(TlsServerTest, ends_tls_at_a_proper_end) {
  serve();
  answer_at_end("hello");
  auto first = connect();
  first->send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(until([&] { return first->is_gone(); }));
  EXPECT_TRUE(first->has_received("hello"));
  EXPECT_TRUE(first->has_close_notify());

  auto second = connect();
  second->send("nonsense\r\n\r\n");
  EXPECT_TRUE(until([&] { return second->raw().is_ended(); }));
  EXPECT_TRUE(second->has_received("HTTP/1.1 400"));
  EXPECT_TRUE(second->has_close_notify());

  auto third = connect();
  run_turns(loop_, 3);
  advance(one_hour);
  EXPECT_TRUE(until([&] { return third->is_gone(); }));
  EXPECT_TRUE(third->has_close_notify());
}

TEST_F(TlsServerTest, does_not_end_tls_when_an_answer_is_broken_off) {
  serve();
  router_.when_ended = [](Seen& seen) {
    seen.exchange->send_head({});
    seen.exchange->send_body("half of it");
    seen.exchange->abort();
  };
  auto peer = connect();
  // To HTTP/1.0 the end of the connection is the end of the body.
  peer->send("GET / HTTP/1.0\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(until([&] { return peer->is_gone(); }));
  EXPECT_FALSE(peer->has_close_notify());
}

TEST_F(TlsServerTest, drains_what_runs_and_closes_what_idles) {
  serve();
  auto idle = connect({.protocols = {"http/1.1"}});
  auto busy = connect({.protocols = {"http/1.1"}});
  auto busy_h2 =
      std::make_unique<BasicHttp2Peer<TlsPeer>>(std::move(*connect({.protocols = {"h2"}})));
  busy->send(get);
  const auto id = busy_h2->request("GET", "/");
  ASSERT_TRUE(busy_h2->poll_until(loop_, [&] { return router_.count() == 2; }));
  TlsPeer unfinished(port_);
  unfinished.raw().send(unfinished.take_first_flight().substr(0, 10));
  ASSERT_TRUE(until([&] { return server_->handshake_count() == 1; }));

  bool is_drained = false;
  server_->drain([&] { is_drained = true; });
  EXPECT_TRUE(until([&] { return idle->is_gone() && unfinished.raw().is_gone(); }));
  EXPECT_TRUE(idle->has_close_notify());
  EXPECT_FALSE(is_drained);
  ScriptedRouter::answer(router_.at(0), "late");
  ScriptedRouter::answer(router_.at(1), "late");
  EXPECT_TRUE(receives(*busy, "late"));
  EXPECT_EQ(busy_h2->wait(loop_, id).body, "late");
  busy->raw().close();
  EXPECT_TRUE(busy_h2->poll_until(loop_, [&] { return is_drained; }));
}

// --- Handshakes that come to nothing -------------------------------------------------------------

TEST_F(TlsServerTest, a_handshake_that_stops_is_closed_in_time_however_it_drips) {
  serve(Speech::both, {.handshake_timeout = milliseconds(1'000), .keep_alive_timeout = one_hour});
  TlsPeer peer(port_);
  const std::string flight = peer.take_first_flight();
  for (int i = 0; i < 9; ++i) {
    peer.raw().send(flight.substr(static_cast<std::size_t>(i), 1));
    run_turns(loop_, 3);
    advance(milliseconds(100));
  }
  EXPECT_EQ(server_->connection_count(), 1u);
  EXPECT_EQ(server_->handshake_count(), 1u);
  advance(milliseconds(101));
  EXPECT_EQ(server_->connection_count(), 0u);
  EXPECT_EQ(server_->handshake_count(), 0u);
  EXPECT_TRUE(until([&] { return peer.raw().is_gone(); }));
}

TEST_F(TlsServerTest, a_client_that_says_nothing_on_a_tls_port_has_the_time_of_a_handshake) {
  serve(Speech::tls, {.handshake_timeout = milliseconds(1'000), .keep_alive_timeout = one_hour});
  RawPeer peer = RawPeer::connect(port_);
  ASSERT_TRUE(until([&] { return server_->connection_count() == 1; }));
  advance(milliseconds(1'001));
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(TlsServerTest, a_finished_handshake_has_no_deadline_any_more) {
  serve(Speech::tls, {.handshake_timeout = milliseconds(1'000), .keep_alive_timeout = one_hour});
  answer_at_end("hello");
  auto peer = connect();
  run_turns(loop_, 3);
  advance(milliseconds(5'000));
  peer->send(get);
  EXPECT_TRUE(receives(*peer, "hello"));
}

TEST_F(TlsServerTest, the_oldest_of_too_many_handshakes_gives_way_and_honest_clients_are_served) {
  serve(Speech::both, {.handshakes_max = 3});
  answer_at_end("hello");
  std::vector<std::unique_ptr<TlsPeer>> half_open;
  for (int i = 0; i < 10; ++i) {
    half_open.push_back(std::make_unique<TlsPeer>(port_));
    half_open.back()->raw().send(half_open.back()->take_first_flight());
    run_turns(loop_, 3);
    EXPECT_LE(server_->handshake_count(), 3u);
  }
  EXPECT_EQ(server_->handshake_count(), 3u);
  EXPECT_EQ(server_->connection_count(), 3u);
  auto honest = connect();
  honest->send(get);
  EXPECT_TRUE(receives(*honest, "hello"));
  EXPECT_TRUE(half_open.at(0)->raw().is_gone());
  EXPECT_FALSE(half_open.at(9)->raw().is_gone());
  half_open.at(9)->poll();
  EXPECT_TRUE(half_open.at(9)->is_established()) << "the newest was not dropped";
}

TEST_F(TlsServerTest, a_crowd_of_handshakes_is_worked_off_between_the_requests_of_others) {
  serve();
  answer_at_end("hello");
  RawPeer other = RawPeer::connect(port_);
  std::vector<std::unique_ptr<TlsPeer>> crowd;
  for (int i = 0; i < 30; ++i) crowd.push_back(std::make_unique<TlsPeer>(port_));
  ASSERT_TRUE(until([&] { return server_->connection_count() == 31; }));
  for (const auto& peer : crowd) peer->raw().send(peer->take_first_flight());
  other.send(get);
  const auto answered_count = [&] {
    return std::count_if(crowd.begin(), crowd.end(),
                         [](const auto& peer) { return !peer->raw().received().empty(); });
  };
  ASSERT_TRUE(until([&] { return server_->handshake_count() == 30; }));
  EXPECT_TRUE(other.has_received("hello"));
  EXPECT_LE(answered_count(), 8);
  EXPECT_TRUE(until([&] { return answered_count() == 30; }));
}

TEST_F(TlsServerTest, garbage_instead_of_a_handshake_ends_the_connection) {
  serve();
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x00\x05hello", 10), std::string("\x16 is not TLS at all"),
        std::string("\x16\x03\x03\xff\xff", 5), std::string(300, '\x16')}) {
    RawPeer peer = RawPeer::connect(port_);
    peer.send(garbage);
    EXPECT_TRUE(until([&] { return peer.is_gone(); }));
    EXPECT_EQ(peer.received(), "");
    EXPECT_EQ(server_->handshake_count(), 0u);
  }
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(TlsServerTest, a_broken_handshake_ends_with_an_alert) {
  serve();
  RawPeer peer = RawPeer::connect(port_);
  peer.send(std::string("\x16\x03\x01\x00\x08\x01\x00\x00\x04junk", 13));
  EXPECT_TRUE(until([&] { return peer.is_gone(); }));
  EXPECT_EQ(peer.received().substr(0, 1), "\x15");
  EXPECT_EQ(server_->handshake_count(), 0u);
}

TEST_F(TlsServerTest, garbage_within_tls_cancels_the_exchange) {
  serve();
  auto peer = connect();
  peer->send(get);
  ASSERT_TRUE(until([&] { return router_.count() == 1 && router_.last().is_ended; }));
  peer->raw().send(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
  EXPECT_TRUE(until([&] { return router_.last().is_cancelled; }));
  EXPECT_EQ(server_->connection_count(), 0u);
}

TEST_F(TlsServerTest, a_hang_up_within_the_handshake_leaves_nothing_behind) {
  serve();
  {
    TlsPeer peer(port_);
    peer.raw().send(peer.take_first_flight());
    ASSERT_TRUE(until([&] { return server_->handshake_count() == 1; }));
  }
  EXPECT_TRUE(until([&] { return server_->connection_count() == 0; }));
  EXPECT_EQ(server_->handshake_count(), 0u);
}

// --- Certificates --------------------------------------------------------------------------------

TEST_F(TlsServerTest, new_connections_get_the_new_certificate_and_old_ones_go_on) {
  serve();
  answer_at_end("hello");
  auto old_peer = connect({.trusted = &authority_});
  EXPECT_EQ(old_peer->server_serial(), identity_.serial());

  const Identity next({}, &authority_);
  contexts_.set(load(next, ClientCertificates::none));
  auto new_peer = connect({.trusted = &authority_});
  EXPECT_EQ(new_peer->server_serial(), next.serial());
  for (TlsPeer* peer : {old_peer.get(), new_peer.get()}) {
    peer->send(get);
    EXPECT_TRUE(receives(*peer, "hello"));
  }
}

TEST_F(TlsServerTest, client_certificates_are_not_asked_for_unless_told) {
  serve();
  answer_at_end("hello");
  const Identity stranger({.name = "stranger"});
  auto peer = connect({.own = &stranger});
  peer->send(get);
  EXPECT_TRUE(receives(*peer, "hello"));
}

TEST_F(TlsServerTest, optional_client_certificates_may_be_missing_but_not_bad) {
  const Identity client_authority({.name = "client authority", .is_authority = true});
  contexts_.set(load(identity_, ClientCertificates::optional, &client_authority));
  serve();
  answer_at_end("hello");
  const Identity client({.name = "client"}, &client_authority);
  for (const Identity* own : {static_cast<const Identity*>(nullptr), &client}) {
    auto peer = connect({.own = own});
    peer->send(get);
    EXPECT_TRUE(receives(*peer, "hello"));
  }
  const Identity stranger({.name = "stranger"});
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsPeer peer(port_, {.version_max = version, .own = &stranger});
    EXPECT_TRUE(until([&] { return peer.is_gone(); }));
    EXPECT_TRUE(peer.is_failed());
  }
}

TEST_F(TlsServerTest, required_client_certificates_must_be_there_and_good) {
  const Identity client_authority({.name = "client authority", .is_authority = true});
  contexts_.set(load(identity_, ClientCertificates::required, &client_authority));
  serve();
  answer_at_end("hello");
  const Identity client({.name = "client"}, &client_authority);
  const Identity expired({.name = "late", .valid_s = -60}, &client_authority);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto peer = connect({.version_max = version, .own = &client});
    peer->send(get);
    EXPECT_TRUE(receives(*peer, "hello"));
    TlsPeer nobody(port_, {.version_max = version});
    EXPECT_TRUE(until([&] { return nobody.is_gone(); }));
    EXPECT_TRUE(nobody.is_failed());
    TlsPeer late(port_, {.version_max = version, .own = &expired});
    EXPECT_TRUE(until([&] { return late.is_gone(); }));
    EXPECT_TRUE(late.is_failed());
  }
  EXPECT_EQ(router_.count(), 2u);
}

}  // namespace
}  // namespace staithe::net
