#include "auth/token.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace staithe::auth {
namespace {

TEST(HashToken, is_sha_256) {
  // The one-block example of FIPS 180-4.
  EXPECT_EQ(hex(hash_token("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(BearerToken, takes_the_scheme_in_any_letter_case_and_trims_blanks) {
  for (const char* value : {"Bearer abc", "bearer abc", "BEARER   abc", "Bearer abc \t"}) {
    EXPECT_EQ(bearer_token(value), "abc") << value;
  }
}

TEST(BearerToken, refuses_everything_else) {
  for (const char* value : {"", "abc", "Bearer", "Bearer ", "Bearer  \t", "Basic abc", "Bearerabc",
                            "Bearer a b", "Bearer \x01", "Bearer a\xc3\xa4", " Bearer abc"}) {
    EXPECT_EQ(bearer_token(value), std::nullopt) << value;
  }
}

TEST(BearerToken, caps_the_length) {
  EXPECT_TRUE(bearer_token("Bearer " + std::string(token_bytes_max, 'a')));
  EXPECT_FALSE(bearer_token("Bearer " + std::string(token_bytes_max + 1, 'a')));
}

}  // namespace
}  // namespace staithe::auth
