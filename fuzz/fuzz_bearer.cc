#include "auth/token.h"
#include "base/encoding.h"
#include "fuzz_input.h"

namespace staithe::fuzz {

// A token is found only as a whole word of the field, and is found again behind a plain "Bearer".
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view field = text_of(data, size);
  const auto token = auth::bearer_token(field);
  if (!token) return 0;
  CHECK(auth::is_token_text(*token));
  CHECK(equals_ignoring_case(field.substr(0, 7), "Bearer "));
  CHECK(token->data() >= field.data() + 7);
  CHECK(token->data() + token->size() <= field.data() + field.size());
  const std::string plain = "Bearer " + std::string(*token);
  CHECK(auth::bearer_token(plain) == token);
  CHECK(auth::hash_token(*token).size() == auth::token_hash_bytes);
  return 0;
}

}  // namespace staithe::fuzz
