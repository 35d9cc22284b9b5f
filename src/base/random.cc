#include "base/random.h"

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace staithe {

std::uint64_t Random::below(std::uint64_t bound) {
  CHECK(bound > 0);
  // Lemire's multiply-shift (https://arxiv.org/abs/1805.10941), without the rejection step: the
  // bias is below 2^-32 for every bound we use.
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
}

double Random::unit() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

std::string Random::uuid() {
  const std::uint64_t high = (next() & ~0xf000ULL) | 0x4000ULL;
  const std::uint64_t low = (next() & ~(0xc0ULL << 56)) | (0x80ULL << 56);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "00000000-0000-0000-0000-000000000000";
  int shift = 64;
  for (char& c : text) {
    if (c == '-') continue;
    shift -= 4;
    const std::uint64_t half = shift >= 0 ? high >> shift : low >> (shift + 64);
    c = digits[half & 0xf];
  }
  return text;
}

std::uint64_t SystemRandom::next() {
  // The kernel is asked for many at a time; each is given out once and not kept.
  thread_local std::array<std::uint64_t, 32> stock;
  thread_local std::size_t left = 0;
  if (left == 0) {
    const ssize_t got = getrandom(stock.data(), sizeof stock, 0);
    CHECK(got == sizeof stock);
    left = stock.size();
  }
  return std::exchange(stock[--left], 0);
}

}  // namespace staithe
