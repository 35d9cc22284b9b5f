#include "gateway/responses_watch.h"

#include <fmt/format.h>

#include <charconv>

#include "base/encoding.h"

namespace staithe::gateway {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

void PassingValue::feed(std::string_view bytes) {
  for (const char c : bytes) take(c);
}

void PassingValue::take(char c) {
  switch (state_) {
    case State::key:
      matched_ = c == key_[matched_] ? matched_ + 1 : (c == '"' ? 1 : 0);
      if (matched_ < key_.size()) return;
      matched_ = 0;
      state_ = State::colon;
      return;
    case State::colon:
      if (is_space(c)) return;
      state_ = c == ':' ? State::before_value : State::key;
      return;
    case State::before_value:
      if (is_space(c)) return;
      present_.clear();
      state_ = c == '"' ? State::text : (is_digit(c) ? State::number : State::key);
      if (state_ == State::number) present_ += c;
      return;
    case State::text:
      if (c == '"') return end_value();
      if (present_.size() < size_max) present_ += c;
      return;
    case State::number:
      if (!is_digit(c)) return end_value();
      if (present_.size() < size_max) present_ += c;
      return;
  }
}

void PassingValue::end_value() {
  state_ = State::key;
  if (!present_.starts_with(prefix_)) return;
  if (keep_ == Keep::last || value_.empty()) value_ = present_;
}

void ResponsesWatch::feed(std::string_view bytes) {
  event_.feed(bytes);
  id_.feed(bytes);
  number_.feed(bytes);
}

bool ResponsesWatch::is_done() const {
  const std::string& event = event_.value();
  return event == "response.completed" || event == "response.failed" ||
         event == "response.incomplete";
}

std::string ResponsesWatch::draw_failure(std::string_view message,
                                         std::string_view fallback_id) const {
  std::uint64_t last = 0;
  const std::string& text = number_.value();
  const bool is_numbered =
      std::from_chars(text.data(), text.data() + text.size(), last).ec == std::errc{};
  const std::string number =
      is_numbered ? fmt::format(R"("sequence_number":{},)", last + 1) : std::string{};
  const std::string id = id_.value().empty() ? fmt::format("resp_{}", fallback_id) : id_.value();
  return fmt::format(
      "event: response.failed\n"
      R"(data: {{"type":"response.failed",{}"response":{{"id":{},"object":"response",)"
      R"("status":"failed","error":{{"code":"server_error","message":{}}},)"
      R"("incomplete_details":null,"output":[]}}}})"
      "\n\n",
      number, json_quote(id), json_quote(message));
}

bool is_responses_api(std::string_view target) {
  return target.substr(0, target.find('?')) == "/v1/responses";
}

}  // namespace staithe::gateway
