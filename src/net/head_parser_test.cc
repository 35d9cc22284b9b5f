#include "net/head_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace staithe::net {
namespace {

using Kind = BodyFraming::Kind;

// The status a request's head is refused with; 0 when it is taken.
std::uint16_t refusal_of(std::string_view head) {
  HeadScanner scanner;
  switch (scanner.scan(head, 8 * 1024)) {
    case HeadScanner::Outcome::incomplete:
      return 1;
    case HeadScanner::Outcome::refused:
      return scanner.refusal().status;
    case HeadScanner::Outcome::complete:
      break;
  }
  ParsedRequest parsed;
  const auto refusal = parse_request_head(head.substr(0, scanner.head_size()), parsed);
  return refusal ? refusal->status : 0;
}

ParsedRequest parse(std::string_view head) {
  ParsedRequest parsed;
  const auto refusal = parse_request_head(head, parsed);
  EXPECT_FALSE(refusal) << refusal->reason;
  return parsed;
}

TEST(RequestHead, keeps_names_values_and_target_as_they_were_sent) {
  const ParsedRequest parsed = parse(
      "POST /v1/a%2Fb?x=1&y=%20 HTTP/1.1\r\nhOsT: h:80\r\nX-Empty:\r\nX-Pad:\t a b \t\r\n"
      "Content-Length: 12\r\n\r\n");
  EXPECT_EQ(parsed.head.method, "POST");
  EXPECT_EQ(parsed.head.target, "/v1/a%2Fb?x=1&y=%20");
  EXPECT_EQ(parsed.head.path(), "/v1/a%2Fb");
  EXPECT_EQ(parsed.head.query(), "x=1&y=%20");
  EXPECT_EQ(parsed.head.headers.begin()->name, "hOsT");
  EXPECT_EQ(parsed.head.headers.find("HOST"), "h:80");
  EXPECT_EQ(parsed.head.headers.find("x-empty"), "");
  EXPECT_EQ(parsed.head.headers.find("x-pad"), "a b");
  EXPECT_EQ(parsed.head.body.kind, Kind::length);
  EXPECT_EQ(parsed.head.body.length, 12u);
  EXPECT_TRUE(parsed.is_persistent);
}

TEST(RequestHead, knows_from_version_and_connection_whether_the_client_goes_on) {
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n").is_persistent);
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").is_persistent);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").is_persistent);
  EXPECT_FALSE(
      parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n").is_persistent);
}

TEST(RequestHead, reads_a_later_minor_version_as_1_1) {
  EXPECT_EQ(parse("GET / HTTP/1.7\r\nHost: h\r\n\r\n").head.http_minor, 1);
}

TEST(RequestHead, cuts_the_absolute_form_down_to_the_origin_form) {
  EXPECT_EQ(parse("GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n").head.target, "/a?b");
  EXPECT_EQ(parse("GET HTTPS://h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n").head.target, "/");
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").head.target, "*");
}

TEST(RequestHead, refuses_what_is_malformed_or_can_be_read_in_two_ways) {
  const struct {
    std::uint16_t status;
    const char* what;
    std::string head;
  } cases[] = {
      {0, "an ordinary head", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {0, "one empty line before it", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "bare LF", "GET / HTTP/1.1\nHost: h\r\n\r\n"},
      {400, "bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n"},
      {400, "LF first", "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "a TLS record", std::string("\x16\x03\x01\x02\x00\x01", 6)},
      {400, "bare CR in a value", "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n"},
      {400, "CR CR LF", "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"},
      {400, "NUL in a value", std::string("GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n", 36)},
      {400, "DEL in a value", "GET / HTTP/1.1\r\nHost: h\r\nA: b\x7f\r\n\r\n"},
      {400, "a folded line", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"},
      {400, "a folded first line", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"},
      {400, "a space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n"},
      {400, "an empty name", "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n"},
      {400, "no colon", "GET / HTTP/1.1\r\nHost: h\r\nabc\r\n\r\n"},
      {400, "a name that is no token", "GET / HTTP/1.1\r\nHost: h\r\na(b: c\r\n\r\n"},
      {400, "two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "a space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "a tab for a space", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "a space after the version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n"},
      {400, "a fragment", "GET /#a HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "a byte above ASCII in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "a target that is no path", "GET a HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "another scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "an authority that is not Host", "GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n"},
      {400, "no version", "GET /\r\nHost: h\r\n\r\n"},
      {400, "a malformed version", "GET / HTTP/1.1x\r\nHost: h\r\n\r\n"},
      {400, "a lower-case version", "GET / http/1.1\r\nHost: h\r\n\r\n"},
      {505, "HTTP/2", "PRI * HTTP/2.0\r\n\r\n"},
      {505, "HTTP/0.9 with a version", "GET / HTTP/0.9\r\n\r\n"},
      {501, "CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"},
      {400, "no Host", "GET / HTTP/1.1\r\n\r\n"},
      {0, "no Host in 1.0", "GET / HTTP/1.0\r\n\r\n"},
      {400, "two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"},
      {400, "two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n"},
      {400, "a list in Host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
      {400, "two lengths",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"},
      {400, "a list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\n"},
      {400, "a signed length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n"},
      {400, "a negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"},
      {400, "a hexadecimal length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\n"},
      {400, "an empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n"},
      {400, "a huge length",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n"},
      {400, "length and coding",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {400, "coding and length",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"},
      {400, "two codings",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
       "Transfer-Encoding: chunked\r\n\r\n"},
      {501, "chunked twice",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"},
      {501, "another coding",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
      {501, "identity", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n"},
      {501, "a quoted coding",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n"},
      {400, "a coding with a vertical tab",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \vchunked\r\n\r\n"},
      {400, "a coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {417, "an unknown expectation", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n"},
  };
  for (const auto& one : cases) EXPECT_EQ(refusal_of(one.head), one.status) << one.what;
}

TEST(RequestHead, refuses_too_long_heads_and_too_many_fields) {
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(refusal_of(start + "A: " + std::string(9'000, 'a')), 431);
  EXPECT_EQ(refusal_of(start + "A: " + std::string(9'000, 'a') + "\r\n\r\n"), 431);
  EXPECT_EQ(refusal_of("GET /" + std::string(9'000, 'a')), 414);
  std::string fields;
  for (int i = 0; i < 300; ++i) fields += "A: b\r\n";
  EXPECT_EQ(refusal_of(start + fields + "\r\n"), 431);
}

TEST(HeadScanner, finds_the_same_end_however_the_bytes_are_cut) {
  const std::string head = "\r\nGET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n";
  const std::string bytes = head + "body\r\n\r\n";
  for (std::size_t first = 1; first < bytes.size(); ++first) {
    HeadScanner scanner;
    HeadScanner::Outcome outcome = HeadScanner::Outcome::incomplete;
    for (std::size_t size = first;
         outcome == HeadScanner::Outcome::incomplete && size <= bytes.size(); ++size) {
      outcome = scanner.scan(std::string_view(bytes).substr(0, size), 1'000);
    }
    ASSERT_EQ(outcome, HeadScanner::Outcome::complete) << first;
    EXPECT_EQ(scanner.head_size(), head.size()) << first;
  }
}

std::optional<Refusal> parse_response(std::string_view head, ParsedResponse& parsed,
                                      AnsweredMethod method = AnsweredMethod::other) {
  return parse_response_head(head, method, parsed);
}

TEST(ResponseHead, frames_the_body_by_status_method_and_fields) {
  const struct {
    const char* head;
    Kind kind;
    bool is_persistent;
  } cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Kind::length, true},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Kind::chunked, true},
      {"HTTP/1.1 200 OK\r\n\r\n", Kind::until_close, false},
      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Kind::length, true},
      {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", Kind::length,
       false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", Kind::length, false},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Kind::chunked,
       false},
      {"HTTP/1.1 204 No Content\r\n\r\n", Kind::none, true},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Kind::none, true},
      {"HTTP/1.1 100 Continue\r\n\r\n", Kind::none, true},
  };
  for (const auto& one : cases) {
    ParsedResponse parsed;
    const auto refusal = parse_response(one.head, parsed);
    ASSERT_FALSE(refusal) << one.head << refusal->reason;
    EXPECT_EQ(parsed.head.body.kind, one.kind) << one.head;
    EXPECT_EQ(parsed.is_persistent, one.is_persistent) << one.head;
  }
  ParsedResponse parsed;
  EXPECT_FALSE(
      parse_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", parsed, AnsweredMethod::head));
  EXPECT_EQ(parsed.head.body.kind, Kind::none);
}

TEST(ResponseHead, reads_the_keep_alive_of_the_peer) {
  ParsedResponse parsed;
  EXPECT_FALSE(parse_response(
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5, max=100\r\n\r\n", parsed));
  EXPECT_EQ(parsed.keep_alive_timeout_s, 5u);
  EXPECT_EQ(parsed.keep_alive_requests_max, 100u);
  EXPECT_FALSE(parse_response(
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=x\r\n\r\n", parsed));
  EXPECT_FALSE(parsed.keep_alive_timeout_s);
}

TEST(ResponseHead, refuses_what_is_malformed) {
  for (const char* head :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 600 Odd\r\n\r\n", "HTTP/1.1 099 Odd\r\n\r\n",
        "ICY 200 OK\r\n\r\n", "200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"}) {
    ParsedResponse parsed;
    EXPECT_TRUE(parse_response(head, parsed)) << head;
  }
}

TEST(HopByHop, is_told_by_name_whatever_its_case) {
  for (const char* name : {"Connection", "keep-alive", "TE", "Trailer", "Transfer-Encoding",
                           "UPGRADE", "Proxy-Authorization", "proxy-connection"}) {
    EXPECT_TRUE(is_hop_by_hop(name)) << name;
  }
  for (const char* name : {"Host", "Content-Length", "X-Proxy-Id", "proxy-", "Te2"}) {
    EXPECT_FALSE(is_hop_by_hop(name)) << name;
  }
}

}  // namespace
}  // namespace staithe::net
