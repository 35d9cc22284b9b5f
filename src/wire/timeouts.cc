#include "wire/timeouts.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace staithe::wire {
namespace {

constexpr Duration longest = std::chrono::hours{24 * 365};

std::optional<std::uint64_t> read_digits(std::string_view text, std::size_t digits_max) {
  if (text.empty() || text.size() > digits_max) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Duration bounded(std::uint64_t count, Duration unit) {
  const auto most = static_cast<std::uint64_t>(longest / unit);
  return std::max(static_cast<Duration::rep>(std::min(count, most)) * unit, Duration{1});
}

Error malformed(const char* text) {
  return {.code = Code::invalid_argument, .message = text, .reason = "INVALID_TIMEOUT"};
}

std::optional<Duration> unit_of(char letter) {
  switch (letter) {
    case 'H':
      return std::chrono::hours{1};
    case 'M':
      return std::chrono::minutes{1};
    case 'S':
      return std::chrono::seconds{1};
    case 'm':
      return std::chrono::milliseconds{1};
    case 'u':
      return std::chrono::microseconds{1};
    case 'n':
      return std::chrono::nanoseconds{1};
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<std::optional<Duration>> read_connect_timeout(std::optional<std::string_view> value) {
  if (!value) return std::optional<Duration>{};
  const auto count = read_digits(*value, 10);
  if (!count) return malformed("Connect-Timeout-Ms must be a number of at most 10 digits");
  return std::optional<Duration>{bounded(*count, std::chrono::milliseconds{1})};
}

Result<std::optional<Duration>> read_grpc_timeout(std::optional<std::string_view> value) {
  if (!value) return std::optional<Duration>{};
  const auto unit = value->empty() ? std::nullopt : unit_of(value->back());
  const auto count = unit ? read_digits(value->substr(0, value->size() - 1), 8) : std::nullopt;
  if (!count) {
    return malformed("grpc-timeout must be at most 8 digits and one of the units H, M, S, m, u, n");
  }
  return std::optional<Duration>{bounded(*count, *unit)};
}

}  // namespace staithe::wire
