#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "net/water_marks.h"

namespace staithe::net {

// Bytes on their way to a socket: added at the back, taken off the front. Without memory when
// empty.
class OutgoingBytes {
 public:
  bool is_empty() const { return taken_ == bytes_.size(); }
  std::size_t size() const { return bytes_.size() - taken_; }
  std::string_view view() const { return std::string_view(bytes_).substr(taken_); }
  // To be appended to, and nothing else.
  std::string& back() { return bytes_; }

  void take(std::size_t size) {
    taken_ += size;
    if (is_empty()) {
      clear();
    } else if (taken_ > high_water_bytes) {
      bytes_.erase(0, taken_);
      taken_ = 0;
    }
  }
  void clear() {
    bytes_ = {};
    taken_ = 0;
  }

 private:
  std::string bytes_;  // from taken_ on
  std::size_t taken_ = 0;
};

}  // namespace staithe::net
