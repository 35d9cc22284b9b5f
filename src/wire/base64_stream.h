#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace staithe::wire {

// Base64 that arrives in pieces and may hold padding between its parts, as gRPC-Web's text format
// does: every part was encoded by itself.
class Base64Decoder {
 public:
  // What `text` completes. INVALID_ARGUMENT on anything else; nothing more can be read then.
  Result<std::string> take(std::string_view text);
  bool is_whole() const { return kept_.empty(); }

 private:
  std::string kept_;  // fewer than four characters
};

}  // namespace staithe::wire
