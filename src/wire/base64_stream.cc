#include "wire/base64_stream.h"

#include <algorithm>

#include "base/encoding.h"

namespace staithe::wire {

Result<std::string> Base64Decoder::take(std::string_view text) {
  constexpr std::size_t group_size = 4;
  kept_ += text;
  std::string_view left = kept_;
  std::string plain;
  while (left.size() >= group_size) {
    // Up to the end of the group with the next padding.
    const std::size_t padding = std::min(left.find('='), left.size() - 1);
    const std::size_t groups = std::min(padding / group_size + 1, left.size() / group_size);
    const auto part = base64_decode(left.substr(0, groups * group_size));
    if (!part) {
      return Error{.code = Code::invalid_argument,
                   .message = "the body is not base64",
                   .reason = "MALFORMED_BODY"};
    }
    plain += *part;
    left.remove_prefix(groups * group_size);
  }
  kept_.erase(0, kept_.size() - left.size());
  return plain;
}

}  // namespace staithe::wire
