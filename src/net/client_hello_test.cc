#include "net/client_hello.h"

#include <gtest/gtest.h>

#include <string>

namespace staithe::net {
namespace {

std::string record(std::size_t record_size, std::size_t message_size, std::string_view body) {
  std::string bytes("\x16\x03\x01", 3);
  bytes += static_cast<char>(record_size >> 8);
  bytes += static_cast<char>(record_size);
  bytes += '\x01';
  for (const int shift : {16, 8, 0}) bytes += static_cast<char>(message_size >> shift);
  return bytes + std::string(body);
}

TEST(ClientHello, is_complete_with_the_last_byte_of_its_first_record) {
  const std::string whole = record(14, 10, "0123456789");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(look_at_client_hello(whole.substr(0, size)), ClientHello::incomplete) << size;
  }
  EXPECT_EQ(look_at_client_hello(whole), ClientHello::complete);
  EXPECT_EQ(look_at_client_hello(whole + "more"), ClientHello::complete);
}

TEST(ClientHello, may_go_on_in_further_records) {
  EXPECT_EQ(look_at_client_hello(record(14, 5'000, "0123456789")), ClientHello::complete);
  EXPECT_EQ(look_at_client_hello(record(4, 5'000, "")), ClientHello::complete);
}

TEST(ClientHello, is_refused_as_soon_as_it_announces_too_much) {
  EXPECT_EQ(look_at_client_hello(record(14, 16'384, "")), ClientHello::incomplete);
  EXPECT_EQ(look_at_client_hello(record(14, 16'385, "")), ClientHello::other);
  EXPECT_EQ(look_at_client_hello(record(14, 0x800000, "")), ClientHello::other);
  EXPECT_EQ(look_at_client_hello(record(16'384, 1'000, "")), ClientHello::incomplete);
  EXPECT_EQ(look_at_client_hello(record(16'385, 1'000, "")), ClientHello::other);
  EXPECT_EQ(look_at_client_hello(record(0xffff, 1'000, "").substr(0, 5)), ClientHello::other);
}

TEST(ClientHello, other_bytes_are_told_at_the_first_that_differs) {
  EXPECT_EQ(look_at_client_hello("GET"), ClientHello::other);
  EXPECT_EQ(look_at_client_hello("\x16 "), ClientHello::other);
  EXPECT_EQ(look_at_client_hello(std::string("\x16\x03\x01\x00\x03", 5)), ClientHello::other);
  EXPECT_EQ(look_at_client_hello(std::string("\x16\x03\x01\x00\x10\x02", 6)), ClientHello::other);
}

}  // namespace
}  // namespace staithe::net
