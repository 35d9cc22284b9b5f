#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace staithe::gateway {

// The tokens of a request as its engine reported them; absent is what it did not report.
struct ReportedTokens {
  std::optional<std::uint64_t> prompt;
  std::optional<std::uint64_t> cached;  // of the prompt
  std::optional<std::uint64_t> completion;

  bool is_empty() const { return !prompt && !cached && !completion; }
  // What `later` has counts instead of what was there.
  void merge(const ReportedTokens& later);
  bool operator==(const ReportedTokens&) const = default;
};

// Reads the text of a `usage` object as the chat, completions, embeddings and responses APIs write
// it (and the messages API of others). What does not parse reports nothing.
ReportedTokens read_usage(std::string_view object);

// Finds `usage` in a JSON text that comes in pieces, cut anywhere, and keeps no more of the text
// than that object: on the top level, or in the top level's `response` or `message`, which is where
// the events of those APIs have it. The last one counts. Anything that is no JSON is taken without
// complaint and reports what it may.
class UsageScanner {
 public:
  // A usage object above this size is passed over.
  static constexpr std::size_t usage_bytes_max = 4096;

  enum class Choices : std::uint8_t { absent, empty, present };

  void feed(std::string_view bytes);
  // Another text begins; what was reported stays.
  void restart();

  const ReportedTokens& reported() const { return reported_; }
  // Of the present text: whether it had a usage object on its top level, and its `choices`.
  bool has_usage() const { return has_usage_; }
  Choices choices() const { return choices_; }

 private:
  // What the key just read announces.
  enum class Key : std::uint8_t { other, usage, choices, wrapper };

  void take(char c);
  void open(char bracket);
  void close();
  void start_value(char c);
  void end_key();
  // The end of what may be passed over at `at`.
  std::size_t skip(std::string_view bytes, std::size_t at) const;

  ReportedTokens reported_;
  std::string captured_;  // the usage object so far
  std::uint32_t depth_ = 0;
  std::uint32_t capture_depth_ = 0;  // of the usage object's inside; 0: none is being read
  std::uint8_t key_size_ = 0;
  char key_[8];               // the longest that matters is "response"
  std::uint8_t objects_ = 0;  // bit n: depth n+1 is an object's inside
  Key key_meaning_ = Key::other;
  Choices choices_ = Choices::absent;
  bool has_usage_ = false;
  bool is_in_string_ = false;
  bool is_escaped_ = false;
  bool is_key_next_ = false;  // in an object, before a name
  bool is_reading_key_ = false;
  bool is_in_wrapper_ = false;    // within `response` or `message`
  bool is_choices_open_ = false;  // behind the bracket of `choices`
};

}  // namespace staithe::gateway
