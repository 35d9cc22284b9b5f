#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace staithe::gateway {

// Remembers the last bytes of an event stream, enough to tell how to go on after an abrupt end.
// Lines end in LF, CR or CRLF, and an empty line ends an event
// (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
class SseTail {
 public:
  void feed(std::string_view bytes) {
    const std::size_t taken = std::min(bytes.size(), tail_.size());
    const std::size_t kept = std::min(size_, tail_.size() - taken);
    std::copy(tail_.begin() + (size_ - kept), tail_.begin() + size_, tail_.begin());
    std::copy(bytes.end() - taken, bytes.end(), tail_.begin() + kept);
    size_ = kept + taken;
  }

  // What to send before another event can begin: nothing at the end of an event. Half an event
  // becomes one of its own, since no byte of it can be taken back.
  std::string_view missing_end() const {
    const std::string_view tail = view();
    if (tail.empty() || tail.ends_with("\n\n") || tail.ends_with("\n\r\n") ||
        tail.ends_with("\r\r")) {
      return {};
    }
    return tail.ends_with('\n') ? "\n" : "\n\n";
  }

  // Whether the stream has said all it had to say: its last event was [DONE].
  bool is_done() const {
    const std::string_view tail = view();
    return missing_end().empty() && tail.find("[DONE]") != std::string_view::npos;
  }

 private:
  std::string_view view() const { return {tail_.data(), size_}; }

  std::array<char, 16> tail_;  // holds "data: [DONE]" and two line ends of two bytes
  std::size_t size_ = 0;
};

}  // namespace staithe::gateway
