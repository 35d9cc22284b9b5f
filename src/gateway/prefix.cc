#include "gateway/prefix.h"

#include <algorithm>
#include <cstring>

namespace staithe::gateway {
namespace {

// Digits of pi and e: odd, without a pattern.
constexpr std::array<std::uint64_t, 4> keys = {0x243f6a8885a308d3, 0x13198a2e03707345,
                                               0xb7e151628aed2a6b, 0xbf7158809cf4f3c7};

constexpr std::size_t kib = 1024;

constexpr std::size_t mark_after(std::size_t bytes) {
  if (bytes < 8 * kib) return bytes + kib;
  if (bytes < 64 * kib) return bytes + 4 * kib;
  if (bytes < 512 * kib) return bytes + 16 * kib;
  return bytes + 128 * kib;
}

constexpr auto marks = [] {
  std::array<std::size_t, Prefix::marks_max + 1> places{};
  for (std::size_t i = 1; i < places.size(); ++i) places[i] = mark_after(places[i - 1]);
  return places;
}();
static_assert(marks.back() == Prefix::bytes_max);

// Both halves of a product, which is how wyhash and its relatives mix
// (https://github.com/wangyi-fudan/wyhash).
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word(const char* bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

std::uint64_t digest(const std::array<std::uint64_t, 2>& state, std::size_t size_bytes) {
  const std::uint64_t hash = fold(state[0] ^ keys[2], state[1] ^ keys[3] ^ size_bytes);
  return hash == 0 ? 1 : hash;
}

}  // namespace

Prefix::Prefix(std::uint64_t seed)
    : state_{seed ^ keys[0], fold(seed ^ keys[1], keys[2])}, next_mark_(marks[1]) {}

void Prefix::absorb(const char* strip) {
  state_[0] = fold(word(strip) ^ keys[0], word(strip + 8) ^ state_[0]);
  state_[1] = fold(word(strip + 16) ^ keys[1], word(strip + 24) ^ state_[1]);
  absorbed_bytes_ += strip_bytes;
  if (absorbed_bytes_ != next_mark_) return;
  hashes_.push_back(digest(state_, absorbed_bytes_));
  next_mark_ = mark_after(next_mark_);
}

void Prefix::add(std::string_view text) {
  if (text.empty()) return;  // of which there may not even be an address
  text = text.substr(0, bytes_max - size_bytes_);
  size_bytes_ += text.size();
  const auto marks_end = std::upper_bound(marks.begin() + 1, marks.end(), size_bytes_);
  hashes_.reserve(static_cast<std::size_t>(marks_end - marks.begin() - 1));
  if (pending_bytes_ > 0) {
    const std::size_t taken = std::min(text.size(), strip_bytes - pending_bytes_);
    std::memcpy(pending_.data() + pending_bytes_, text.data(), taken);
    pending_bytes_ += taken;
    text.remove_prefix(taken);
    if (pending_bytes_ < strip_bytes) return;
    absorb(pending_.data());
    pending_bytes_ = 0;
  }
  while (text.size() >= strip_bytes) {
    absorb(text.data());
    text.remove_prefix(strip_bytes);
  }
  std::memcpy(pending_.data(), text.data(), text.size());
  pending_bytes_ = text.size();
}

std::size_t Prefix::bytes_before(std::size_t count) {
  return marks[std::min(count, marks_max)];
}

std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  std::array<std::uint64_t, 2> state = {seed ^ keys[1], seed ^ keys[3]};
  const std::size_t size_bytes = text.size();
  while (!text.empty()) {
    std::array<char, 16> strip{};
    const std::size_t taken = std::min(text.size(), strip.size());
    std::memcpy(strip.data(), text.data(), taken);
    state[0] = fold(word(strip.data()) ^ keys[0], word(strip.data() + 8) ^ state[0]);
    text.remove_prefix(taken);
  }
  return digest(state, size_bytes);
}

}  // namespace staithe::gateway
