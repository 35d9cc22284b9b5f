#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace staithe::net {

// Tells a client that begins a stream with an id it has passed over. The first use of an id closes
// all lower ones that were idle, and to use one of those is an error of the connection (RFC 9113
// section 5.1.1); nghttp2 ignores such a stream, as it does not remember which ids were in use.
// Clients hardly ever skip ids, so the latest gaps are enough.
class SkippedStreams {
 public:
  // For the head of each HEADERS frame. False if it is such an error.
  bool take_headers(std::int32_t id) {
    if (id <= highest_) return !is_skipped(id);
    const Gap gap{highest_ + 1, id};
    // Even ids are the server's: from one odd id to the next, nothing is skipped.
    if (gap.end - gap.begin > 1) gaps_[gap_count_++ % gaps_.size()] = gap;
    highest_ = id;
    return true;
  }

 private:
  struct Gap {
    std::int32_t begin = 0;
    std::int32_t end = 0;  // past the last
  };
  bool is_skipped(std::int32_t id) const {
    return std::any_of(gaps_.begin(), gaps_.end(),
                       [id](const Gap& gap) { return gap.begin <= id && id < gap.end; });
  }

  std::array<Gap, 8> gaps_{};  // the latest
  std::size_t gap_count_ = 0;
  std::int32_t highest_ = -1;  // so that id 1 follows it
};

}  // namespace staithe::net
