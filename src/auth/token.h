#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "auth/principal.h"
#include "base/clock.h"

namespace staithe::auth {

inline constexpr std::size_t token_bytes_max = 4'096;
inline constexpr std::size_t token_hash_bytes = 32;

// A token as it is kept: the SHA-256 of its text, never the text. Tokens of ours carry 256 bits of
// chance, so a plain hash is enough; tokens a person chose (--bootstrap-token) are as good as the
// person made them.
struct Token {
  std::string id;
  std::string name;
  std::string hash;  // SHA-256, 32 bytes
  std::string organization;
  Role role = Role::viewer;
  std::optional<Timestamp> expires_at;
  Timestamp created_at;

  bool operator==(const Token&) const = default;
};

std::string hash_token(std::string_view token);

// True for a text that may be a token: 1 to token_bytes_max printable ASCII characters, no spaces.
bool is_token_text(std::string_view text);

// The token in the value of an Authorization header: "Bearer TOKEN", the scheme in any letter case
// (RFC 9110 section 11.1). It points into `authorization`.
std::optional<std::string_view> bearer_token(std::string_view authorization);

}  // namespace staithe::auth
