#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace staithe::gateway {

// The value behind one key of JSON that passes by in pieces. Knows nothing of JSON but its quotes:
// a key cannot be mistaken, because within a string its quotes are escaped.
class PassingValue {
 public:
  enum class Keep : std::uint8_t { first, last };
  // `key` with its quotes. Only values that begin with `prefix` count. Both last.
  PassingValue(std::string_view key, std::string_view prefix, Keep keep)
      : key_(key), prefix_(prefix), keep_(keep) {}
  void feed(std::string_view bytes);
  // A string without its quotes, or a number as it was written; empty: there was none.
  const std::string& value() const { return value_; }

 private:
  static constexpr std::size_t size_max = 128;  // longer values are cut
  enum class State : std::uint8_t { key, colon, before_value, text, number };
  void take(char c);
  void end_value();

  std::string_view key_;
  std::string_view prefix_;
  Keep keep_;
  State state_ = State::key;
  std::size_t matched_ = 0;
  std::string present_;
  std::string value_;
};

// What has to be known of a stream of the Responses API to end it in its own terms: which response
// it is, the number of the last event, and whether that was the last
// (https://platform.openai.com/docs/api-reference/responses-streaming).
class ResponsesWatch {
 public:
  void feed(std::string_view bytes);
  // It has said how it ended.
  bool is_done() const;
  // The event that ends it with a failure. `message` is for the caller; `fallback_id` stands for a
  // response that has not said its id.
  std::string draw_failure(std::string_view message, std::string_view fallback_id) const;

 private:
  PassingValue event_{"\"type\"", "response.", PassingValue::Keep::last};
  PassingValue id_{"\"id\"", "", PassingValue::Keep::first};  // response.created comes first
  PassingValue number_{"\"sequence_number\"", "", PassingValue::Keep::last};
};

// Whether a request's target is the Responses API's.
bool is_responses_api(std::string_view target);

}  // namespace staithe::gateway
