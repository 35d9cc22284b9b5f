#pragma once

#include <string>
#include <string_view>

#include "base/free_memory.h"

namespace staithe::net {

// Bytes of a connection that have been read and cannot be used yet: half a head, a paused body, the
// next request. Empty, and without memory, nearly always.
class UnreadBytes {
 public:
  bool is_empty() const { return kept_.empty(); }
  void clear() { free_memory(kept_); }

  // Lets `advance` take what it can off the front of what was kept followed by `bytes`, and keeps
  // the rest. `advance` may destroy nothing, but may look at this object: it is empty meanwhile.
  template <typename Advance>
  void take(std::string_view bytes, Advance advance) {
    if (kept_.empty()) {
      advance(bytes);
      kept_.assign(bytes);
      return;
    }
    std::string input;
    input.swap(kept_);
    input.append(bytes);
    std::string_view left = input;
    advance(left);
    if (left.size() == input.size()) {
      kept_.swap(input);
    } else {
      kept_.assign(left);
    }
  }

 private:
  std::string kept_;
};

}  // namespace staithe::net
