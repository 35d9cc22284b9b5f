#include "net/head_encoder.h"

#include <gtest/gtest.h>

#include <string>

namespace staithe::net {
namespace {

using Kind = BodyFraming::Kind;

TEST(AnswerHeadEncoding, writes_the_framing_it_is_told_and_none_of_the_callers) {
  AnswerHead head{.status = 429};
  head.headers.add("X-A", "1");
  head.headers.add("content-LENGTH", "7");
  head.headers.add("Transfer-Encoding", "chunked");
  head.headers.add("Connection", "upgrade");
  head.headers.add("Date", "yesterday");
  std::string out;
  append_answer_head(
      out, head,
      {.body = {Kind::length, 3}, .connection = ConnectionOption::close, .date = "today"});
  EXPECT_EQ(out,
            "HTTP/1.1 429 Too Many Requests\r\nX-A: 1\r\nDate: today\r\nContent-Length: 3\r\n"
            "Connection: close\r\n\r\n");
}

TEST(AnswerHeadEncoding, cannot_be_split_by_a_value) {
  AnswerHead head;
  head.headers.add("Location", "/a\r\nSet-Cookie: b");
  std::string out;
  append_answer_head(out, head, {.body = {Kind::chunked, 0}, .date = "today"});
  EXPECT_EQ(out,
            "HTTP/1.1 200 OK\r\nLocation: /a  Set-Cookie: b\r\nDate: today\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
}

TEST(RequestHeadEncoding, sets_host_and_says_that_an_empty_post_is_empty) {
  ClientRequest request{.method = "POST", .target = "/x?y"};
  request.headers.add("host", "evil");
  request.headers.add("Accept", "*/*");
  std::string out;
  append_request_head(out, request, "h:1", ConnectionOption::unsaid);
  EXPECT_EQ(out, "POST /x?y HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n");

  out.clear();
  append_request_head(out, {.method = "GET", .target = "/"}, "h", ConnectionOption::close);
  EXPECT_EQ(out, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
}

TEST(HttpDate, is_drawn_in_the_fixed_form) {
  HttpDate date;
  const Timestamp time{std::chrono::seconds{784'111'777}};
  EXPECT_EQ(date.at(time), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.at(time + std::chrono::milliseconds{999}), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date.at(time + std::chrono::seconds{1}), "Sun, 06 Nov 1994 08:49:38 GMT");
}

}  // namespace
}  // namespace staithe::net
