#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace staithe {

// An IPv4 or IPv6 address. One of IPv4 that is written as IPv6 (::ffff:192.0.2.1, RFC 4291 section
// 2.5.5.2) is one of IPv4.
class IpAddress {
 public:
  // Nothing unless `text` is an address without a port or zone.
  static std::optional<IpAddress> parse(std::string_view text);

  bool operator==(const IpAddress&) const = default;

 private:
  friend class IpRange;
  bool is_v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};  // the first four of IPv4
};

// The addresses that share their first bits: "192.0.2.0/24", "2001:db8::/32" (RFC 4632 section
// 3.1, RFC 4291 section 2.3), or a single address. Bits behind the prefix do not matter.
class IpRange {
 public:
  static std::optional<IpRange> parse(std::string_view text);

  bool contains(const IpAddress& address) const;

  bool operator==(const IpRange&) const = default;

 private:
  IpAddress address_;
  unsigned prefix_bits_ = 0;
};

}  // namespace staithe
