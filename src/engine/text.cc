#include "engine/text.h"

#include <array>

#include "base/check.h"

namespace staithe::engine {
namespace {

constexpr std::size_t piece_bytes_max = 6;
constexpr TokenId token_id_max = 32'000;

constexpr std::array<std::string_view, 64> words = {
    " the",     " quay",    " wagon",   " of",      " coal",  " river", " and",    " tide",
    " a",       " ship",    " waits",   " while",   " water", " rises", " slowly", " under",
    " bridge",  " iron",    " rails",   " carry",   " heavy", " load",  " from",   " north",
    " to",      " harbour", " where",   " men",     " count", " each",  " crate",  " by",
    " lantern", " light",   " until",   " morning", " comes", " with",  " wind",   " that",
    " smells",  " salt",    " rope",    " tar",     " gulls", " call",  " over",   " grey",
    " roofs",   " as",      " engines", " breathe", " steam", " in",    " long",   " white",
    " clouds",  " above",   " town",    " before",  " it",    " wakes", " again",  "."};

bool is_letter(char byte) {
  // Bytes above ASCII belong to letters of other scripts, near enough for counting.
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') || static_cast<unsigned char>(byte) >= 0x80;
}

template <typename Use>
void for_each_piece(std::string_view text, const Use& use) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (is_letter(text[at])) {
      std::size_t end = at + 1;
      while (end < text.size() && end - at < piece_bytes_max && is_letter(text[end])) ++end;
      use(text.substr(at, end - at));
      at = end;
    } else {
      if (text[at] > ' ') use(text.substr(at, 1));
      ++at;
    }
  }
}

}  // namespace

std::size_t count_tokens(std::string_view text) {
  std::size_t count = 0;
  for_each_piece(text, [&count](std::string_view) { ++count; });
  return count;
}

std::vector<TokenId> tokenize(std::string_view text) {
  std::vector<TokenId> ids;
  for_each_piece(text, [&ids](std::string_view piece) {
    std::uint32_t hash = 2'166'136'261U;  // FNV-1a
    for (const char byte : piece) hash = (hash ^ static_cast<unsigned char>(byte)) * 16'777'619U;
    ids.push_back(hash % token_id_max);
  });
  return ids;
}

std::size_t vocabulary_size() {
  return words.size();
}

std::string_view word(TokenId id) {
  CHECK(id < words.size());
  return words[id];
}

TokenId draw_word(Random& random) {
  return static_cast<TokenId>(random.below(words.size()));
}

}  // namespace staithe::engine
