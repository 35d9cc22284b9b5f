#include "gateway/trace_context.h"

#include <algorithm>
#include <array>

#include "base/encoding.h"

namespace staithe::gateway {
namespace {

constexpr std::size_t trace_id_digits = 32;
constexpr std::size_t span_id_digits = 16;
constexpr std::size_t size_of_00 = 2 + 1 + trace_id_digits + 1 + span_id_digits + 1 + 2;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

std::string random_digits(Random& random, std::size_t count) {
  std::string digits;
  do {
    digits.clear();
    while (digits.size() < count) {
      std::array<char, 8> bytes;
      std::uint64_t word = random.next();
      for (char& byte : bytes) {
        byte = static_cast<char>(word & 0xff);
        word >>= 8;
      }
      digits += hex({bytes.data(), bytes.size()});
    }
  } while (is_zero(digits));
  return digits;
}

}  // namespace

std::optional<TraceContext> parse_traceparent(std::string_view text) {
  if (text.size() < size_of_00) return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace_id = text.substr(3, trace_id_digits);
  const std::string_view span_id = text.substr(4 + trace_id_digits, span_id_digits);
  const std::string_view flags = text.substr(5 + trace_id_digits + span_id_digits, 2);
  if (!is_hex(version) || version == "ff") return std::nullopt;
  if (text.size() > size_of_00 && (version == "00" || text[size_of_00] != '-')) return std::nullopt;
  if (text[2] != '-' || text[3 + trace_id_digits] != '-') return std::nullopt;
  if (text[4 + trace_id_digits + span_id_digits] != '-') return std::nullopt;
  if (!is_hex(trace_id) || is_zero(trace_id)) return std::nullopt;
  if (!is_hex(span_id) || is_zero(span_id) || !is_hex(flags)) return std::nullopt;
  const char last = flags[1];
  const int low_digit = last <= '9' ? last - '0' : last - 'a' + 10;
  return TraceContext{.trace_id = std::string(trace_id),
                      .span_id = std::string(span_id),
                      .is_sampled = (low_digit & 1) != 0};
}

std::string format_traceparent(const TraceContext& context) {
  return "00-" + context.trace_id + "-" + context.span_id + (context.is_sampled ? "-01" : "-00");
}

std::string make_trace_id(Random& random) {
  return random_digits(random, trace_id_digits);
}

std::string make_span_id(Random& random) {
  return random_digits(random, span_id_digits);
}

}  // namespace staithe::gateway
