#include "gateway/prefix.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace staithe::gateway {
namespace {

std::string text_of(std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; text.size() < bytes; ++i) text += std::to_string(i * 7919) + " ";
  text.resize(bytes);
  return text;
}

Prefix prefix_of(std::string_view text, std::uint64_t seed = 0) {
  Prefix prefix(seed);
  prefix.add(text);
  return prefix;
}

std::size_t shared_marks(const Prefix& a, const Prefix& b) {
  std::size_t count = 0;
  while (count < std::min(a.hashes().size(), b.hashes().size()) &&
         a.hashes()[count] == b.hashes()[count]) {
    ++count;
  }
  return count;
}

TEST(Prefix, prompts_share_the_hashes_up_to_where_they_part) {
  const std::string text = text_of(100'000);
  const Prefix whole = prefix_of(text);
  for (const std::size_t parting : {0u, 1'023u, 1'024u, 5'000u, 8'192u, 40'000u, 99'999u}) {
    std::string other = text;
    other[parting] ^= 1;
    const std::size_t shared = shared_marks(whole, prefix_of(other));
    EXPECT_LE(Prefix::bytes_before(shared), parting);
    EXPECT_TRUE(shared == whole.hashes().size() || Prefix::bytes_before(shared + 1) > parting)
        << parting;
  }
}

TEST(Prefix, a_longer_prompt_begins_with_the_hashes_of_a_shorter_one) {
  const std::string text = text_of(300'000);
  const Prefix longer = prefix_of(text);
  for (const std::size_t bytes : {1'024u, 10'000u, 70'000u, 299'999u}) {
    const Prefix shorter = prefix_of(std::string_view(text).substr(0, bytes));
    EXPECT_EQ(shared_marks(longer, shorter), shorter.hashes().size());
    EXPECT_GT(shorter.hashes().size(), 0u);
  }
}

TEST(Prefix, how_a_prompt_is_cut_into_pieces_does_not_matter) {
  const std::string text = text_of(20'000);
  const Prefix whole = prefix_of(text);
  for (const std::size_t piece : {1u, 7u, 31u, 32u, 33u, 1'000u}) {
    Prefix pieces;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      pieces.add(std::string_view(text).substr(at, piece));
    }
    EXPECT_EQ(pieces.size_bytes(), text.size());
    EXPECT_EQ(shared_marks(whole, pieces), whole.hashes().size()) << piece;
  }
}

TEST(Prefix, another_seed_makes_other_hashes) {
  const std::string text = text_of(5'000);
  EXPECT_EQ(shared_marks(prefix_of(text, 1), prefix_of(text, 2)), 0u);
}

TEST(Prefix, its_length_is_bounded_however_long_the_prompt) {
  const Prefix prefix = prefix_of(std::string(3 * Prefix::bytes_max, 'x'));
  EXPECT_EQ(prefix.hashes().size(), Prefix::marks_max);
  EXPECT_EQ(prefix.size_bytes(), Prefix::bytes_max);
}

TEST(Prefix, hashes_of_a_monotonous_text_differ) {
  const Prefix prefix = prefix_of(std::string(Prefix::bytes_max, '\0'));
  const std::set<std::uint64_t> different(prefix.hashes().begin(), prefix.hashes().end());
  EXPECT_EQ(different.size(), Prefix::marks_max);
  EXPECT_FALSE(different.contains(0));
}

TEST(Prefix, texts_of_different_length_or_seed_have_different_hashes) {
  EXPECT_NE(hash_text("a", 0), hash_text(std::string_view("a\0", 2), 0));
  EXPECT_NE(hash_text("", 0), hash_text("a", 0));
  EXPECT_NE(hash_text("a", 0), hash_text("a", 1));
  EXPECT_EQ(hash_text("a session of some length", 5), hash_text("a session of some length", 5));
}

}  // namespace
}  // namespace staithe::gateway
