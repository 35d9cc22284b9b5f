#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace staithe::gateway {

// The beginnings of a prompt as hashes: one of the text up to each of a fixed row of marks, so that
// two prompts have equal hashes up to the last mark within what they have in common, and different
// ones from there on. Marks stand a kilobyte apart at first and farther apart later, by a third of
// what lies before them at most but for the first ones, which bounds their number: 54 for a
// megabyte, where they end.
//
// Hashes are for hints. Nothing may depend on two prompts never having the same.
class Prefix {
 public:
  static constexpr std::size_t marks_max = 54;
  // Bytes behind this count neither as marks nor as work, so that a picture does not pass for the
  // longest of all prompts.
  static constexpr std::size_t bytes_max = 1024 * 1024;

  // What all of these prompts have in common without showing it: another seed, other hashes.
  explicit Prefix(std::uint64_t seed = 0);

  // Goes on with the prompt. How it is cut into calls does not matter.
  void add(std::string_view text);

  std::span<const std::uint64_t> hashes() const { return hashes_; }
  // Of the prompt so far, at most bytes_max.
  std::size_t size_bytes() const { return size_bytes_; }
  bool is_empty() const { return size_bytes_ == 0; }

  // How much of a prompt lies before its first `count` marks.
  static std::size_t bytes_before(std::size_t count);

 private:
  static constexpr std::size_t strip_bytes = 32;
  void absorb(const char* strip);

  std::array<std::uint64_t, 2> state_;
  std::array<char, strip_bytes> pending_;
  std::size_t pending_bytes_ = 0;
  std::size_t absorbed_bytes_ = 0;
  std::size_t next_mark_;
  std::size_t size_bytes_ = 0;
  std::vector<std::uint64_t> hashes_;
};

// A hash of a short text, for what is kept beside prefixes.
std::uint64_t hash_text(std::string_view text, std::uint64_t seed);

}  // namespace staithe::gateway
