#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace staithe::engine {

using TokenId = std::uint32_t;

// How many tokens this engine sees in a text: pieces of up to six letters or digits, and every
// other visible character by itself.
std::size_t count_tokens(std::string_view text);

// The same pieces as numbers; equal pieces have equal numbers.
std::vector<TokenId> tokenize(std::string_view text);

// The words answers are made of. A word that follows another starts with a blank.
std::size_t vocabulary_size();
std::string_view word(TokenId id);

// A word drawn from the vocabulary.
TokenId draw_word(Random& random);

}  // namespace staithe::engine
