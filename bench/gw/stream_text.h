#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace staithe::bench {

// What the upstream answers: chunks of one length, about what a vLLM delta weighs. Each says when
// it was sent; the event with the usage, behind them, has a checksum over all those times. So every
// byte of a stream can be told from its place, and no chunk can be lost, doubled, reordered or
// changed unseen.
inline constexpr std::string_view chunk_head =
    R"(data: {"id":"chatcmpl-b2bfaf89a74034b3","object":"chat.completion.chunk","created":1795575351,"model":"bench","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"sent_ns":")";
inline constexpr std::string_view usage_head =
    R"(data: {"id":"chatcmpl-b2bfaf89a74034b3","object":"chat.completion.chunk","created":1795575351,"model":"bench","choices":[],"usage":{"prompt_tokens":300,"completion_tokens":100,"total_tokens":400},"checksum":")";
inline constexpr std::string_view event_tail = "\"}\n\n";
inline constexpr std::string_view done_event = "data: [DONE]\n\n";
inline constexpr std::size_t digit_count = 20;  // of any std::uint64_t
inline constexpr std::size_t chunk_size = chunk_head.size() + digit_count + event_tail.size();
inline constexpr std::size_t stream_end_size =
    usage_head.size() + digit_count + event_tail.size() + done_event.size();

inline constexpr std::string_view unary_content =
    "Thirty-two tokens of an answer that says nothing in particular but has the size of one.";
inline constexpr std::string_view unary_text =
    R"({"id":"chatcmpl-1","object":"chat.completion","created":1795575351,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Thirty-two tokens of an answer that says nothing in particular but has the size of one."},"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":32,"total_tokens":332}})";

// FNV-1a over the numbers, in order.
class Checksum {
 public:
  void add(std::uint64_t number) { value_ = (value_ ^ number) * 1'099'511'628'211U; }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 14'695'981'039'346'656'037U;
};

// `number` with leading zeros, so that texts with one keep their length.
inline std::array<char, digit_count> digits_of(std::uint64_t number) {
  std::array<char, digit_count> digits;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, number /= 10) {
    *digit = static_cast<char>('0' + number % 10);
  }
  return digits;
}

inline std::uint64_t number_of(std::string_view digits) {
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

inline std::string numbered_event(std::string_view head, std::uint64_t number) {
  const auto digits = digits_of(number);
  std::string event(head);
  event.append(digits.data(), digits.size()).append(event_tail);
  return event;
}

}  // namespace staithe::bench
