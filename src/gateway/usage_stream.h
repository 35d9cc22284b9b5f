#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/usage_scanner.h"

namespace staithe::gateway {

// Reads the usage out of an event stream while it passes, and takes out the event that an engine
// only sends because we asked it for usage (usage_ask.h): the one with `usage` and an empty
// `choices`. Every other byte passes unchanged and as soon as it came, unless it may still become
// the beginning of that event.
//
// Lines end in LF, CR or CRLF and an empty line ends an event
// (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
class UsageStream {
 public:
  enum class Extra : std::uint8_t { passes, is_removed };
  // An event is no longer waited for when it is longer than this.
  static constexpr std::size_t held_bytes_max = 16 * 1024;

  explicit UsageStream(Extra extra) : extra_(extra) {}

  // What may be passed on, of these bytes and those before. It lasts until the next call, and no
  // longer than `bytes`.
  std::string_view feed(std::string_view bytes);
  // What was kept back, at the proper end of the stream.
  std::string_view finish();

  const ReportedTokens& reported() const { return scanner_.reported(); }
  // Events that brought a piece of the answer.
  std::uint64_t piece_count() const { return piece_count_; }

 private:
  enum class Line : std::uint8_t { undecided, data, event, other };

  std::size_t take_line(std::string_view bytes, std::size_t at);
  void take_content(std::string_view content, bool is_whole);
  void begin_line(std::string_view& content, bool is_whole);
  void take_data(std::string_view content, bool is_whole);
  void end_event();
  bool may_be_extra() const;

  const Extra extra_;
  UsageScanner scanner_;
  std::uint64_t piece_count_ = 0;
  std::string held_;  // the present event so far, if it may have to be taken out
  std::string composed_;

  // Of the present line.
  char prefix_[6];  // its beginning, until that tells the field
  std::uint8_t prefix_size_ = 0;
  Line line_ = Line::undecided;
  // Of the present event.
  bool has_object_ = false;  // its data begins with a brace
  bool has_data_ = false;
  bool is_scanned_ = false;      // what there is of its data went to the scanner
  bool is_extra_over_ = false;   // it is not the one to take out, or has been let through in part
  bool is_other_event_ = false;  // its name says that it brings no piece of the answer

  bool is_event_over_ = false;  // the line just read ended it
  bool was_extra_ = false;      // and it was the one to take out
  bool is_after_cr_ = false;    // a line feed now belongs to the line before
};

}  // namespace staithe::gateway
