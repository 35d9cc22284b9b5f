#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/free_memory.h"
#include "net/event_loop.h"
#include "net/water_marks.h"

namespace staithe::net {

// Bytes on their way to a socket: added at the back, taken off the front. Without memory when
// empty; with a loop at hand, memory comes from its spare texts and goes there.
class OutgoingBytes {
 public:
  bool is_empty() const { return taken_ == bytes_.size(); }
  std::size_t size() const { return bytes_.size() - taken_; }
  std::string_view view() const { return std::string_view(bytes_).substr(taken_); }
  // To be appended to, and nothing else.
  std::string& back() { return bytes_; }
  std::string& back(EventLoop& loop) {
    if (bytes_.empty()) bytes_ = loop.take_spare_text();
    return bytes_;
  }

  void take(std::size_t size, EventLoop& loop) {
    taken_ += size;
    if (is_empty()) {
      loop.give_spare_text(std::move(bytes_));
      clear();
    } else if (taken_ > high_water_bytes) {
      bytes_.erase(0, taken_);
      taken_ = 0;
    }
  }
  void clear() {
    free_memory(bytes_);
    taken_ = 0;
  }

 private:
  std::string bytes_;  // from taken_ on
  std::size_t taken_ = 0;
};

}  // namespace staithe::net
