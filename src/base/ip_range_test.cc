#include "base/ip_range.h"

#include <gtest/gtest.h>

namespace staithe {
namespace {

bool has(std::string_view range, std::string_view address) {
  return IpRange::parse(range).value().contains(IpAddress::parse(address).value());
}

TEST(IpRange, has_the_addresses_that_share_its_first_bits) {
  EXPECT_TRUE(has("10.0.0.0/8", "10.255.1.2"));
  EXPECT_FALSE(has("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(has("192.0.2.128/25", "192.0.2.200"));
  EXPECT_FALSE(has("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(has("192.0.2.7", "192.0.2.7"));
  EXPECT_FALSE(has("192.0.2.7", "192.0.2.6"));
  EXPECT_TRUE(has("0.0.0.0/0", "1.2.3.4"));
  EXPECT_TRUE(has("192.0.2.7/24", "192.0.2.1")) << "bits behind the prefix do not matter";
  EXPECT_TRUE(has("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(has("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(has("::1", "::1"));
}

TEST(IpRange, knows_ipv4_in_either_writing_and_keeps_the_families_apart) {
  EXPECT_TRUE(has("10.0.0.0/8", "::ffff:10.1.2.3"));
  EXPECT_TRUE(has("::ffff:10.0.0.0/104", "10.1.2.3"));
  EXPECT_FALSE(has("::/0", "10.1.2.3"));
  EXPECT_FALSE(has("0.0.0.0/0", "::1"));
}

TEST(IpRange, is_nothing_else) {
  for (const std::string_view text :
       {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8 ", "::/129",
        "10.0.0.0/8/8", "example.com", "10.0.0.0:80", "fe80::1%eth0", "::ffff:10.0.0.0/95",
        " 10.0.0.1", "10.0.0.0/0x8"}) {
    EXPECT_FALSE(IpRange::parse(text)) << text;
  }
}

}  // namespace
}  // namespace staithe
