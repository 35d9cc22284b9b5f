#include "base/ip_range.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace staithe {
namespace {

constexpr std::array<std::uint8_t, 12> v4_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned v4_bits = 32;
constexpr unsigned v6_bits = 128;

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string name(text);
  if (name.find('\0') != std::string::npos) return std::nullopt;
  IpAddress address;
  if (::inet_pton(AF_INET, name.c_str(), address.bytes_.data()) == 1) return address;
  if (::inet_pton(AF_INET6, name.c_str(), address.bytes_.data()) != 1) return std::nullopt;
  address.is_v6_ = !std::equal(v4_prefix.begin(), v4_prefix.end(), address.bytes_.begin());
  if (!address.is_v6_) {
    std::copy_n(address.bytes_.begin() + v4_prefix.size(), 4, address.bytes_.begin());
    std::fill(address.bytes_.begin() + 4, address.bytes_.end(), std::uint8_t{0});
  }
  return address;
}

std::optional<IpRange> IpRange::parse(std::string_view text) {
  const auto slash = text.find('/');
  const std::string_view written = text.substr(0, slash);
  const auto address = IpAddress::parse(written);
  if (!address) return std::nullopt;
  IpRange range;
  range.address_ = *address;
  range.prefix_bits_ = address->is_v6_ ? v6_bits : v4_bits;
  if (slash == std::string_view::npos) return range;
  // A prefix of an IPv4 address that is written as IPv6 counts from the IPv6 address's beginning.
  const bool is_mapped = !address->is_v6_ && written.find(':') != std::string_view::npos;
  const unsigned bits_max = is_mapped ? v6_bits : range.prefix_bits_;
  const std::string_view bits = text.substr(slash + 1);
  unsigned count = 0;
  const auto [end, problem] = std::from_chars(bits.data(), bits.data() + bits.size(), count);
  if (problem != std::errc{} || end != bits.data() + bits.size() || count > bits_max) {
    return std::nullopt;
  }
  if (is_mapped && count < v6_bits - v4_bits) return std::nullopt;
  range.prefix_bits_ = is_mapped ? count - (v6_bits - v4_bits) : count;
  return range;
}

bool IpRange::contains(const IpAddress& address) const {
  if (address.is_v6_ != address_.is_v6_) return false;
  const unsigned whole_bytes = prefix_bits_ / 8;
  if (!std::equal(address.bytes_.begin(), address.bytes_.begin() + whole_bytes,
                  address_.bytes_.begin())) {
    return false;
  }
  const unsigned rest_bits = prefix_bits_ % 8;
  if (rest_bits == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest_bits));
  return ((address.bytes_[whole_bytes] ^ address_.bytes_[whole_bytes]) & mask) == 0;
}

}  // namespace staithe
