#include <string>

#include "net/http2_test_kit.h"
#include "net/server_test_kit.h"

// Bytes that two readers could take for different requests: here they are nobody's request.
namespace staithe::net {
namespace {

using testing::Fields;
using testing::Http2Peer;
using testing::RawPeer;
using testing::run_until;
using testing::ScriptedRouter;
using testing::Seen;

constexpr std::string_view behind = "GET /behind HTTP/1.1\r\nHost: h\r\n\r\n";

class SmugglingTest : public testing::ServerTest {
 protected:
  void SetUp() override { start(); }
};

TEST_F(SmugglingTest, a_head_with_two_readings_reaches_no_handler_and_ends_its_connection) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  const struct {
    const char* status;
    const char* what;
    std::string bytes;
  } cases[] = {
      {"400", "length, then coding",
       post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"400", "coding, then length",
       post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
      {"400", "a length of nothing and a coding",
       post + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"400", "lengths that differ", post + "Content-Length: 0\r\nContent-Length: 33\r\n\r\n"},
      {"400", "lengths that agree", post + "Content-Length: 0\r\ncontent-length: 0\r\n\r\n"},
      {"400", "a list of lengths", post + "Content-Length: 0, 33\r\n\r\n"},
      {"400", "a length with a sign", post + "Content-Length: +0\r\n\r\n"},
      {"400", "a length with a space within", post + "Content-Length: 0 33\r\n\r\n"},
      {"400", "a length beyond 64 bits", post + "Content-Length: 18446744073709551616\r\n\r\n"},
      {"501", "chunked, then identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n"},
      {"501", "gzip, then chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
      {"501", "an unknown coding", post + "Transfer-Encoding: xchunked\r\n\r\n"},
      {"501", "a coding with a parameter", post + "Transfer-Encoding: chunked;q=1\r\n\r\n"},
      {"501", "an empty coding", post + "Transfer-Encoding:\r\n\r\n"},
      {"400", "a coding and an empty one",
       post + "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n"},
      {"400", "a coding behind a form feed", post + "Transfer-Encoding: \fchunked\r\n\r\n"},
      {"400", "a coding in HTTP/1.0",
       "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"400", "a folded coding", post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
      {"400", "a coding folded into another field",
       post + "X: y\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"400", "a space before the colon", post + "Content-Length : 33\r\n\r\n"},
      {"400", "a tab before the colon", post + "Transfer-Encoding\t: chunked\r\n\r\n"},
      {"400", "a space before the name",
       "POST / HTTP/1.1\r\n Content-Length: 33\r\nHost: h\r\n\r\n"},
      {"400", "a bare LF", post + "X: y\nContent-Length: 33\r\n\r\n"},
      {"400", "a bare CR", post + "X: y\rContent-Length: 33\r\n\r\n"},
      {"400", "an end of bare LFs", post + "Content-Length: 0\n\n"},
      {"400", "a NUL in a value", post + std::string("X: y\0z\r\n\r\n", 10)},
      {"400", "a NUL in a name", post + std::string("X\0: y\r\n\r\n", 9)},
      {"400", "an escape in a value", post + "X: \x1b[2J\r\n\r\n"},
      {"400", "two Hosts", post + "Host: i\r\n\r\n"},
      {"400", "a Host with a user", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"},
      {"400", "a Host with a path", "GET / HTTP/1.1\r\nHost: h/i\r\n\r\n"},
      {"400", "an absolute target of another host", "GET http://i/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"400", "an absolute target with a user", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"400", "HTTP/0.9", "GET /\r\n\r\n"},
      {"505", "HTTP/0.9 by name", "GET / HTTP/0.9\r\nHost: h\r\n\r\n"},
      {"505", "HTTP/2 by name", "GET / HTTP/2.0\r\nHost: h\r\n\r\n"},
      {"501", "a tunnel", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"},
  };
  for (const auto& one : cases) {
    RawPeer peer = RawPeer::connect(port_);
    peer.send(one.bytes + std::string(behind));
    ASSERT_TRUE(run_until(loop_, [&] { return peer.is_ended(); })) << one.what;
    const std::string& answer = peer.received();
    EXPECT_EQ(answer.substr(0, 12), std::string("HTTP/1.1 ") + one.status) << one.what;
    EXPECT_EQ(answer.find("Date: "), answer.rfind("Date: ")) << "a second answer: " << one.what;
    EXPECT_NE(answer.find("Connection: close"), std::string::npos) << one.what;
    EXPECT_EQ(router_.count(), 0u) << one.what;
  }
}

TEST_F(SmugglingTest, a_chunked_body_with_two_readings_is_cancelled_and_nothing_behind_it_read) {
  const std::string bodies[] = {
      "5\nhello\r\n0\r\n\r\n",
      "5\r\nhello\n0\r\n\r\n",
      "5 \r\nhello\r\n0\r\n\r\n",
      "0x5\r\nhello\r\n0\r\n\r\n",
      "+5\r\nhello\r\n0\r\n\r\n",
      "5;a\nb\r\nhello\r\n0\r\n\r\n",
      "5\r\nhello!\r\n0\r\n\r\n",
      "5\r\nhell\r\n0\r\n\r\n",
      "10000000000000005\r\nhello\r\n0\r\n\r\n",
      "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
      "5;" + std::string(600, 'x') + "\r\nhello\r\n0\r\n\r\n",
      "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
      "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
      "5\r\nhello\r\n0\r\nX: y\n\r\n",
      "5\r\nhello\r\n0\r\nX: " + std::string(9'000, 'y') + "\r\n\r\n",
      "5\r\nhello\r\n0\r\n\n",
  };
  std::size_t count = 0;
  for (const std::string& body : bodies) {
    RawPeer peer = RawPeer::connect(port_);
    peer.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body +
              std::string(behind));
    ASSERT_TRUE(run_until(loop_, [&] { return peer.is_ended(); })) << body;
    EXPECT_TRUE(peer.received().starts_with("HTTP/1.1 400 ")) << body;
    ASSERT_EQ(router_.count(), ++count) << body;
    EXPECT_TRUE(router_.last().is_cancelled) << body;
    EXPECT_FALSE(router_.last().is_ended) << body;
  }
}

TEST_F(SmugglingTest, trailers_change_nothing_about_their_request_and_the_next_is_whole) {
  answer_at_end("ok");
  RawPeer peer = RawPeer::connect(port_);
  peer.send(
      "POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;name=\"v\"\r\nhello\r\n0\r\nContent-Length: 33\r\nHost: evil\r\nAuthorization: x\r\n"
      "Transfer-Encoding: chunked\r\n\r\n" +
      std::string(behind));
  ASSERT_TRUE(run_until(loop_, [&] { return router_.count() == 2 && router_.last().is_ended; }));
  EXPECT_EQ(router_.at(0).body, "hello");
  const decltype(Seen::headers) headers{{"Host", "h"}, {"Transfer-Encoding", "chunked"}};
  EXPECT_EQ(router_.at(0).headers, headers);
  EXPECT_EQ(router_.at(1).target, "/behind");
}

TEST_F(SmugglingTest, an_http_2_head_with_two_readings_reaches_no_handler) {
  Http2Peer peer(port_);
  const Fields more[] = {
      {{"connection", "close"}},
      {{"keep-alive", "timeout=5"}},
      {{"proxy-connection", "close"}},
      {{"upgrade", "h2c"}},
      {{"transfer-encoding", "chunked"}},
      {{"te", "gzip"}},
      {{"content-length", "0"}, {"content-length", "0"}},
      {{"content-length", "0, 0"}},
      {{"content-length", "+0"}},
      {{"content-length", "-1"}},
      {{"content-length", ""}},
      {{"content-length", "18446744073709551616"}},
      {{"host", "h2.test"}, {"host", "h2.test"}},
      {{":path", "/twice"}},
      {{":method", "GET"}},
      {{":authority", "h2.test"}},
      {{"x", "1"}, {":path", "/late"}},
      {{":status", "200"}},
      {{":unknown", "1"}},
      {{"", "no name"}},
      {{"a b", "1"}},
      {{"a:b", "1"}},
      {{"x", "a\r\nb: c"}},
      {{"x", "a\nb"}},
      {{"x", "a\rb"}},
      {{"x", std::string("a\0b", 3)}},
      {{"x", " led by a space"}},
      {{"x", "followed by one "}},
  };
  for (const Fields& fields : more) {
    const auto& answer = peer.wait(loop_, peer.request("GET", "/", "", fields));
    EXPECT_EQ(answer.reset, std::uint32_t{NGHTTP2_PROTOCOL_ERROR})
        << fields.back().first << ": " << fields.back().second;
  }
  EXPECT_EQ(router_.count(), 0u);
  answer_at_end("still here");
  EXPECT_EQ(peer.wait(loop_, peer.request("GET", "/")).body, "still here");
}

TEST_F(SmugglingTest, an_http_2_name_in_upper_case_reaches_no_handler) {
  RawPeer peer = RawPeer::connect(port_);
  const std::string no_settings("\0\0\0\4\0\0\0\0\0", 9);
  // HEADERS that are a whole request with the field "X: 1", in literals (RFC 7541 section 6.2.2).
  const std::string head(
      "\0\0\13\1\5\0\0\0\1\x82\x86\x84\x41\1h\0\1X\1"
      "1",
      20);
  peer.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_settings + head);
  const std::string reset("\0\0\4\3\0\0\0\0\1\0\0\0\1", 13);  // with PROTOCOL_ERROR
  EXPECT_TRUE(run_until(loop_, [&] { return peer.has_received(reset); }));
  EXPECT_EQ(router_.count(), 0u);
}

// The four pseudo-header fields of a request.
Fields pseudo(std::string method, std::string scheme, std::string authority, std::string path) {
  return {{":method", std::move(method)},
          {":scheme", std::move(scheme)},
          {":authority", std::move(authority)},
          {":path", std::move(path)}};
}

TEST_F(SmugglingTest, an_http_2_request_line_that_http_1_could_not_have_is_refused) {
  Http2Peer peer(port_);
  const Fields heads[] = {
      pseudo("GET", "http", "h", ""),
      pseudo("GET", "http", "h", "no/slash"),
      pseudo("GET", "http", "h", "/a b"),
      pseudo("GET", "http", "h", "/a\r\nX: y"),
      pseudo("GET", "http", "h", std::string("/a\0b", 4)),
      pseudo("GET", "http", "h", "/a#b"),
      pseudo("GET", "http", "h", "*"),
      pseudo("GET", "http", "h", "http://evil/"),
      // The rules for a path are those of http and https; another scheme must not be a way around.
      pseudo("GET", "x", "h", "no/slash"),
      pseudo("GET", "x", "h", "@evil/"),
      pseudo("G T", "http", "h", "/"),
      pseudo("GET / HTTP/1.1\r\nX:", "http", "h", "/"),
      pseudo("", "http", "h", "/"),
      pseudo("GET", "http", "u@h", "/"),
      pseudo("GET", "http", "h/i", "/"),
      pseudo("GET", "http", "h, i", "/"),
      pseudo("CONNECT", "http", "h", "/"),
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}},
      {{":method", "GET"}, {":scheme", "http"}, {":authority", "h"}},
      {{":method", "GET"}, {":path", "/"}, {":authority", "h"}},
      {{":scheme", "http"}, {":path", "/"}, {":authority", "h"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "u@h"}},
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "h, i"}},
  };
  for (const Fields& head : heads) {
    const auto& answer = peer.wait(loop_, peer.request_with(head));
    std::string drawn;
    for (const auto& [name, value] : head) drawn += name + "=" + value + " ";
    EXPECT_TRUE(answer.reset == std::uint32_t{NGHTTP2_PROTOCOL_ERROR} || answer.status() == "400" ||
                answer.status() == "501")
        << drawn << answer.status();
  }
  EXPECT_EQ(router_.count(), 0u);
}

TEST_F(SmugglingTest, an_http_2_body_that_is_not_of_its_length_is_never_whole) {
  Http2Peer peer(port_);
  const struct {
    const char* length;
    const char* body;
  } cases[] = {{"5", "abc"}, {"2", "abc"}, {"0", "abc"}, {"1", ""}};
  std::size_t before = 0;
  for (const auto& [length, body] : cases) {
    const auto id = peer.request("POST", "/", body, {{"content-length", length}});
    EXPECT_EQ(peer.wait(loop_, id).reset, std::uint32_t{NGHTTP2_PROTOCOL_ERROR}) << length;
    for (; before < router_.count(); ++before) {
      ASSERT_TRUE(run_until(loop_, [&] { return router_.at(before).is_destroyed; }));
      EXPECT_TRUE(router_.at(before).is_cancelled) << length;
      EXPECT_FALSE(router_.at(before).is_ended) << length;
    }
  }
}

}  // namespace
}  // namespace staithe::net
