#include <string>

#include "fuzz_input.h"
#include "wire/compression.h"

namespace staithe::fuzz {

// What is unpacked stays below the limit, a higher limit changes nothing about what fits, and what
// we pack ourselves is unpacked as it was.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t small = 1'000;
  constexpr std::size_t large = 100'000;
  const std::string_view bytes = text_of(data, size);
  const auto within_large = wire::gunzip(bytes, large);
  CHECK(!within_large || within_large->size() <= large);
  const auto within_small = wire::gunzip(bytes, small);
  if (within_small) {
    CHECK(within_small->size() <= small);
    CHECK(within_large && *within_large == *within_small);
  } else if (within_large) {
    CHECK(within_large->size() > small);
    CHECK(within_small.error().code == Code::resource_exhausted);
  }
  const auto again = wire::gunzip(wire::gzip(bytes), size);
  CHECK(again && *again == bytes);
  return 0;
}

}  // namespace staithe::fuzz
