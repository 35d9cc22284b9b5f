#include "gateway/usage_stream.h"

#include <algorithm>
#include <cstring>

namespace staithe::gateway {
namespace {

constexpr std::string_view usage_key = "\"usage\"";

// Most events have no usage, which is quickly seen.
bool has_usage_key(std::string_view text) {
  return ::memmem(text.data(), text.size(), usage_key.data(), usage_key.size()) != nullptr;
}

// Where the line that begins here ends; the size if it does not.
std::size_t find_line_end(std::string_view bytes) {
  const auto feed = std::min(bytes.find('\n'), bytes.size());
  return std::min(bytes.substr(0, feed).find('\r'), feed);
}

}  // namespace

std::string_view UsageStream::feed(std::string_view bytes) {
  if (bytes.empty()) return {};
  composed_.clear();
  bool is_composed = false;
  std::size_t pass_from = 0;    // before it: given out, kept back or taken out
  std::size_t event_begin = 0;  // of the present event, in these bytes
  std::size_t at = 0;
  if (is_after_cr_) {
    is_after_cr_ = false;
    if (bytes.front() == '\n') {
      at = event_begin = 1;
      if (was_extra_) {
        pass_from = 1;
        is_composed = true;
      } else if (!held_.empty()) {
        held_ += '\n';  // the end of a line within an event that is kept back
        pass_from = 1;
      }
    }
  }
  while (at < bytes.size()) {
    at = take_line(bytes, at);
    if (!is_event_over_) continue;
    if (was_extra_) {
      composed_ += bytes.substr(pass_from, event_begin - pass_from);
      pass_from = at;
      is_composed = true;
    } else if (!held_.empty()) {
      composed_ += held_;
      is_composed = true;
    }
    held_.clear();
    event_begin = at;
  }
  if (may_be_extra() && held_.size() + bytes.size() - event_begin <= held_bytes_max) {
    if (event_begin < bytes.size()) {
      composed_ += bytes.substr(pass_from, event_begin - pass_from);
      held_ += bytes.substr(event_begin);
      return composed_;
    }
  } else {
    is_extra_over_ = true;
    if (!held_.empty()) {
      composed_ += held_;
      is_composed = true;
      held_.clear();
    }
  }
  if (!is_composed) return bytes.substr(pass_from);
  composed_ += bytes.substr(pass_from);
  return composed_;
}

std::string_view UsageStream::finish() {
  composed_ = std::move(held_);
  held_.clear();
  return composed_;
}

// Whether the event that is not over yet may be the one to take out.
bool UsageStream::may_be_extra() const {
  return extra_ == Extra::is_removed && !is_extra_over_ &&
         scanner_.choices() != UsageScanner::Choices::present;
}

// Takes what there is of a line and returns where the next begins.
std::size_t UsageStream::take_line(std::string_view bytes, std::size_t at) {
  is_event_over_ = was_extra_ = false;
  const std::string_view rest = bytes.substr(at);
  const std::size_t end = find_line_end(rest);
  const bool is_whole = end < rest.size();
  take_content(rest.substr(0, end), is_whole);
  if (!is_whole) return bytes.size();
  if (prefix_size_ == 0) end_event();
  prefix_size_ = 0;
  line_ = Line::undecided;
  at += end + 1;
  if (rest[end] != '\r') return at;
  if (at == bytes.size()) {
    is_after_cr_ = true;
  } else if (bytes[at] == '\n') {
    ++at;
  }
  return at;
}

void UsageStream::take_content(std::string_view content, bool is_whole) {
  if (line_ == Line::undecided) begin_line(content, is_whole);
  if (line_ == Line::data) take_data(content, is_whole);
  if (line_ == Line::event && is_whole) {
    is_other_event_ = content.find("delta") == std::string_view::npos;
  }
}

void UsageStream::begin_line(std::string_view& content, bool is_whole) {
  const std::size_t taken = std::min(content.size(), sizeof prefix_ - prefix_size_);
  std::copy_n(content.begin(), taken, prefix_ + prefix_size_);
  prefix_size_ = static_cast<std::uint8_t>(prefix_size_ + taken);
  content.remove_prefix(taken);
  if (prefix_size_ < sizeof prefix_ && !is_whole) return;
  const std::string_view prefix(prefix_, prefix_size_);
  if (prefix.starts_with("data:")) {
    line_ = Line::data;
    is_extra_over_ |= has_data_;  // engines write it on one line
    const std::string_view value = prefix.substr(5);
    if (!value.empty() && value != " ") take_data(value, false);
  } else {
    line_ = prefix == "event:" ? Line::event : Line::other;
  }
}

void UsageStream::take_data(std::string_view content, bool is_whole) {
  if (!has_data_) {
    const auto first = content.find_first_not_of(" \t");
    if (first == std::string_view::npos) return;
    has_data_ = true;
    has_object_ = content[first] == '{';
    is_extra_over_ |= !has_object_;
  }
  if (!has_object_) return;
  if (!is_scanned_ && is_whole && !has_usage_key(content)) {
    is_extra_over_ = true;
    return;
  }
  is_scanned_ = true;
  scanner_.feed(content);
}

void UsageStream::end_event() {
  is_event_over_ = true;
  was_extra_ =
      may_be_extra() && scanner_.has_usage() && scanner_.choices() == UsageScanner::Choices::empty;
  if (has_object_ && !is_other_event_ && scanner_.choices() != UsageScanner::Choices::empty) {
    ++piece_count_;
  }
  if (is_scanned_) scanner_.restart();
  has_object_ = has_data_ = is_scanned_ = is_extra_over_ = is_other_event_ = false;
}

}  // namespace staithe::gateway
