#include "base/time_text.h"

#include <optional>

namespace staithe {
namespace {

// Reads digits off the front of a text.
class Digits {
 public:
  explicit Digits(std::string_view text) : rest_(text) {}

  std::optional<int> take(std::size_t count) {
    if (rest_.size() < count) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return std::nullopt;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value;
  }

  bool skip(char wanted) {
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // The fraction after a dot, in microseconds; at least one digit.
  std::optional<std::int64_t> take_fraction() {
    std::int64_t micros = 0;
    std::size_t count = 0;
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      if (count < 6) micros = micros * 10 + (rest_.front() - '0');
      ++count;
      rest_.remove_prefix(1);
    }
    if (count == 0) return std::nullopt;
    for (; count < 6; ++count) micros *= 10;
    return micros;
  }

  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::optional<Timestamp> parse(std::string_view text) {
  using namespace std::chrono;
  Digits digits(text);
  const auto y = digits.take(4);
  if (!y || !digits.skip('-')) return std::nullopt;
  const auto mo = digits.take(2);
  if (!mo || !digits.skip('-')) return std::nullopt;
  const auto d = digits.take(2);
  if (!d || !(digits.skip('T') || digits.skip('t') || digits.skip(' '))) return std::nullopt;
  const auto h = digits.take(2);
  if (!h || !digits.skip(':')) return std::nullopt;
  const auto mi = digits.take(2);
  if (!mi || !digits.skip(':')) return std::nullopt;
  const auto s = digits.take(2);
  if (!s || *h > 23 || *mi > 59 || *s > 60) return std::nullopt;
  std::int64_t micros = 0;
  if (digits.skip('.')) {
    const auto fraction = digits.take_fraction();
    if (!fraction) return std::nullopt;
    micros = *fraction;
  }
  minutes offset{0};
  if (!digits.skip('Z') && !digits.skip('z')) {
    const bool behind = digits.skip('-');
    if (!behind && !digits.skip('+')) return std::nullopt;
    const auto oh = digits.take(2);
    if (!oh || !digits.skip(':')) return std::nullopt;
    const auto om = digits.take(2);
    if (!om || *oh > 23 || *om > 59) return std::nullopt;
    offset = hours{*oh} + minutes{*om};
    if (behind) offset = -offset;
  }
  if (!digits.rest().empty()) return std::nullopt;
  const year_month_day date{year{*y}, month{static_cast<unsigned>(*mo)},
                            day{static_cast<unsigned>(*d)}};
  // google.protobuf.Timestamp begins with year 1.
  if (!date.ok() || *y < 1) return std::nullopt;
  return Timestamp{sys_days{date} + hours{*h} + minutes{*mi} + seconds{*s} + microseconds{micros} -
                   offset};
}

// `value` in decimal with leading zeros.
void append_digits(std::string& out, std::int64_t value, std::size_t count) {
  const std::size_t start = out.size();
  out.append(count, '0');
  for (std::size_t at = start + count; at > start; value /= 10) {
    out[--at] = static_cast<char>('0' + value % 10);
  }
}

}  // namespace

void append_timestamp(std::string& out, Timestamp time) {
  using namespace std::chrono;
  const auto days = floor<std::chrono::days>(time);
  const year_month_day date{days};
  const hh_mm_ss clock{time - days};
  const auto micros = clock.subseconds().count();
  append_digits(out, static_cast<int>(date.year()), 4);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_digits(out, clock.hours().count(), 2);
  out += ':';
  append_digits(out, clock.minutes().count(), 2);
  out += ':';
  append_digits(out, clock.seconds().count(), 2);
  if (micros != 0) {
    out += '.';
    append_digits(out, micros % 1000 == 0 ? micros / 1000 : micros, micros % 1000 == 0 ? 3 : 6);
  }
  out += 'Z';
}

std::string format_timestamp(Timestamp time) {
  std::string text;
  append_timestamp(text, time);
  return text;
}

Result<Timestamp> parse_timestamp(std::string_view text) {
  if (const auto time = parse(text)) return *time;
  return Error{.code = Code::invalid_argument,
               .message = "must be an RFC 3339 date-time with an offset"};
}

}  // namespace staithe
