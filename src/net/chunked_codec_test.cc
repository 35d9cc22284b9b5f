#include "net/chunked_codec.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace staithe::net {
namespace {

struct Decoded {
  ChunkedDecoder::Outcome outcome;
  std::string body;
  std::string rest;
};

// Decodes `bytes` given in pieces of `piece_size`.
Decoded decode(std::string_view bytes, std::size_t piece_size = 1'000'000) {
  ChunkedDecoder decoder;
  Decoded decoded{ChunkedDecoder::Outcome::need_more, {}, {}};
  while (!bytes.empty()) {
    std::string_view input = bytes.substr(0, piece_size);
    bytes.remove_prefix(input.size());
    for (;;) {
      std::string_view data;
      decoded.outcome = decoder.next(input, data);
      if (decoded.outcome != ChunkedDecoder::Outcome::data) break;
      decoded.body += data;
    }
    if (decoded.outcome == ChunkedDecoder::Outcome::need_more) continue;
    decoded.rest = std::string(input) + std::string(bytes);
    break;
  }
  return decoded;
}

TEST(ChunkedDecoder, gives_the_body_and_leaves_what_follows_however_the_bytes_are_cut) {
  const std::string bytes =
      "5\r\nhello\r\n00A;name=\"v;x\"\r\n, world!!!\r\n1 ;x\r\n.\r\n0\r\nTrailer: x\r\n\r\nGET /";
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Decoded decoded = decode(bytes, piece);
    EXPECT_EQ(decoded.outcome, ChunkedDecoder::Outcome::end);
    EXPECT_EQ(decoded.body, "hello, world!!!.");
    EXPECT_EQ(decoded.rest, "GET /");
  }
}

TEST(ChunkedDecoder, is_not_done_before_the_last_line) {
  const std::string bytes = "3\r\nabc\r\n0\r\n\r\n";
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(decode(bytes.substr(0, size)).outcome, ChunkedDecoder::Outcome::need_more) << size;
  }
}

TEST(ChunkedDecoder, refuses_what_can_be_read_in_two_ways) {
  for (const std::string& bytes : {
           std::string("\r\n"),
           std::string(" 5\r\nhello\r\n"),
           std::string("0x5\r\nhello\r\n"),
           std::string("+5\r\nhello\r\n"),
           std::string("-5\r\nhello\r\n"),
           std::string("g\r\n"),
           std::string("5 \r\nhello\r\n"),
           std::string("5 5\r\nhello\r\n"),
           std::string("5\nhello\r\n"),
           std::string("5\r\r\nhello\r\n"),
           std::string("5\r\nhello\n"),
           std::string("5\r\nhellox\r\n"),
           std::string("5;a\nb\r\nhello\r\n"),
           std::string("5;a\x01\r\nhello\r\n"),
           std::string("11111111111111111\r\n"),
           std::string("ffffffffffffffff\r\n"),
           std::string(600, '0') + "\r\n",
           "5;" + std::string(600, 'a') + "\r\nhello\r\n",
           std::string("0\r\n folded: x\r\n\r\n"),
           std::string("0\r\nname : x\r\n\r\n"),
           std::string("0\r\n: x\r\n\r\n"),
           std::string("0\r\nname: x\n\r\n"),
           std::string("0\r\n\n"),
           "0\r\nname: " + std::string(9'000, 'a') + "\r\n\r\n",
       }) {
    EXPECT_EQ(decode(bytes).outcome, ChunkedDecoder::Outcome::bad) << bytes;
  }
}

TEST(ChunkedEncoder, is_undone_by_the_decoder_and_never_ends_a_body_by_an_empty_chunk) {
  std::string bytes;
  append_chunk(bytes, "hello");
  append_chunk(bytes, "");
  append_chunk(bytes, std::string(300, 'x'));
  append_last_chunk(bytes);
  const Decoded decoded = decode(bytes, 7);
  EXPECT_EQ(decoded.outcome, ChunkedDecoder::Outcome::end);
  EXPECT_EQ(decoded.body, "hello" + std::string(300, 'x'));
  EXPECT_EQ(bytes.substr(0, 10), "5\r\nhello\r\n");
}

}  // namespace
}  // namespace staithe::net
