#include "gateway/usage_scanner.h"

#include <simdjson.h>

#include <cstdint>
#include <cstring>

#include "base/free_memory.h"

namespace staithe::gateway {
namespace {

namespace dom = simdjson::dom;

// No request has more; an engine that says so is not to spoil the sums of all others.
constexpr std::uint64_t tokens_max = 1'000'000'000;

// Where the next of the two is, or the end; eight bytes at a time ("Determine if a word has a byte
// equal to n", https://graphics.stanford.edu/~seander/bithacks.html).
std::size_t find_quote_or_backslash(std::string_view bytes, std::size_t at) {
  constexpr std::uint64_t ones = 0x0101010101010101;
  const auto has_zero = [](std::uint64_t word) {
    return ((word - ones) & ~word & (ones << 7)) != 0;
  };
  for (; at + sizeof(std::uint64_t) <= bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if (has_zero(word ^ (ones * '"')) || has_zero(word ^ (ones * '\\'))) break;
  }
  while (at < bytes.size() && bytes[at] != '"' && bytes[at] != '\\') ++at;
  return at;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::optional<std::uint64_t> count_at(const dom::object& object, std::string_view name) {
  std::uint64_t count = 0;
  if (object.at_key(name).get(count) || count > tokens_max) return std::nullopt;
  return count;
}

std::optional<std::uint64_t> first_of(const dom::object& object, std::string_view name,
                                      std::string_view other_name) {
  const auto count = count_at(object, name);
  return count ? count : count_at(object, other_name);
}

std::optional<std::uint64_t> cached_tokens(const dom::object& usage) {
  for (const std::string_view details : {"prompt_tokens_details", "input_tokens_details"}) {
    dom::object object;
    if (usage.at_key(details).get(object)) continue;
    if (const auto count = count_at(object, "cached_tokens")) return count;
  }
  return count_at(usage, "cache_read_input_tokens");
}

}  // namespace

void ReportedTokens::merge(const ReportedTokens& later) {
  if (later.prompt) prompt = later.prompt;
  if (later.cached) cached = later.cached;
  if (later.completion) completion = later.completion;
}

ReportedTokens read_usage(std::string_view text) {
  // Keeps its memory, which is little: nobody's usage is long.
  thread_local dom::parser parser;
  dom::object usage;
  if (parser.parse(text.data(), text.size()).get(usage)) return {};
  ReportedTokens tokens{.prompt = first_of(usage, "prompt_tokens", "input_tokens"),
                        .cached = cached_tokens(usage),
                        .completion = first_of(usage, "completion_tokens", "output_tokens")};
  // Who scores and ranks has no other tokens than those it was given.
  if (!tokens.prompt && !tokens.completion) tokens.prompt = count_at(usage, "total_tokens");
  return tokens;
}

void UsageScanner::restart() {
  captured_.clear();
  depth_ = 0;
  capture_depth_ = 0;
  key_size_ = 0;
  objects_ = 0;
  key_meaning_ = Key::other;
  choices_ = Choices::absent;
  has_usage_ = false;
  is_in_string_ = false;
  is_escaped_ = false;
  is_key_next_ = false;
  is_reading_key_ = false;
  is_in_wrapper_ = false;
  is_choices_open_ = false;
}

void UsageScanner::feed(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    if (const std::size_t end = skip(bytes, at); end > at) {
      if (capture_depth_ > 0) captured_.append(bytes.substr(at, end - at));
      at = end;
      continue;
    }
    if (capture_depth_ > 0) captured_ += bytes[at];
    take(bytes[at]);
    ++at;
  }
  // Nobody's usage is as long as that.
  if (captured_.size() > usage_bytes_max) {
    free_memory(captured_);
    capture_depth_ = 0;
  }
}

std::size_t UsageScanner::skip(std::string_view bytes, std::size_t at) const {
  if (is_in_string_) {
    if (is_escaped_ || is_reading_key_) return at;
    return find_quote_or_backslash(bytes, at);
  }
  // Below what matters only strings and brackets count.
  if (depth_ < 3 || is_choices_open_) return at;
  while (at < bytes.size()) {
    const char c = bytes[at];
    if (c == '"' || c == '{' || c == '[' || c == '}' || c == ']') break;
    ++at;
  }
  return at;
}

void UsageScanner::take(char c) {
  if (is_in_string_) {
    if (is_escaped_) {
      is_escaped_ = false;
    } else if (c == '\\') {
      is_escaped_ = true;
    } else if (c == '"') {
      is_in_string_ = false;
      if (is_reading_key_) end_key();
      return;
    }
    if (is_reading_key_ && key_size_ <= sizeof key_) {
      if (key_size_ < sizeof key_) key_[key_size_] = c;
      ++key_size_;
    }
    return;
  }
  if (is_blank(c)) return;
  switch (c) {
    case '"':
      is_in_string_ = true;
      if (is_key_next_) {
        is_reading_key_ = true;
        is_key_next_ = false;
        key_size_ = 0;
      } else {
        start_value(c);
      }
      break;
    case '{':
    case '[':
      start_value(c);
      open(c);
      break;
    case '}':
    case ']':
      close();
      break;
    case ',':
      is_key_next_ = depth_ >= 1 && depth_ <= 2 && (objects_ >> (depth_ - 1) & 1) != 0;
      break;
    case ':':
      break;
    default:
      start_value(c);
  }
}

void UsageScanner::end_key() {
  is_reading_key_ = false;
  key_meaning_ = Key::other;
  if (key_size_ > sizeof key_) return;
  const std::string_view key(key_, key_size_);
  if (key == "usage" && (depth_ == 1 || is_in_wrapper_)) key_meaning_ = Key::usage;
  if (depth_ != 1) return;
  if (key == "choices") key_meaning_ = Key::choices;
  if (key == "response" || key == "message") key_meaning_ = Key::wrapper;
}

// The first byte of any value.
void UsageScanner::start_value(char c) {
  if (is_choices_open_ && depth_ == 2) {
    choices_ = Choices::present;
    is_choices_open_ = false;
  }
  switch (key_meaning_) {
    case Key::usage:
      if (c == '{') {
        has_usage_ |= depth_ == 1;
        captured_ = "{";
        capture_depth_ = depth_ + 1;
      }
      break;
    case Key::choices:
      is_choices_open_ = c == '[';
      if (!is_choices_open_) choices_ = Choices::present;
      break;
    case Key::wrapper:
      is_in_wrapper_ = c == '{';
      break;
    case Key::other:
      break;
  }
  key_meaning_ = Key::other;
}

void UsageScanner::open(char bracket) {
  ++depth_;
  if (depth_ > 2) {
    is_key_next_ = false;
    return;
  }
  const auto bit = static_cast<std::uint8_t>(1U << (depth_ - 1));
  if (bracket == '{') {
    objects_ |= bit;
  } else {
    objects_ &= static_cast<std::uint8_t>(~bit);
  }
  is_key_next_ = bracket == '{';
}

void UsageScanner::close() {
  if (capture_depth_ > 0 && depth_ == capture_depth_) {
    reported_.merge(read_usage(captured_));
    captured_.clear();
    capture_depth_ = 0;
  }
  if (is_choices_open_ && depth_ == 2) {
    // Of two, one that is not empty counts: what was seen of it may have been passed on.
    if (choices_ == Choices::absent) choices_ = Choices::empty;
    is_choices_open_ = false;
  }
  is_key_next_ = false;
  if (depth_ > 0) --depth_;
  if (depth_ < 2) is_in_wrapper_ = false;
}

}  // namespace staithe::gateway
