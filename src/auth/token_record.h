#pragma once

#include <string>
#include <string_view>

#include "auth/token_table.h"
#include "base/random.h"
#include "base/result.h"

namespace staithe::auth {

// A new token's text: "CW-SECRET-" and 256 bits of chance. Shown once, kept nowhere.
std::string make_token_text(Random& random);

// True for the six-character ids of organizations ("cw1a2b").
bool is_organization_id(std::string_view text);

// "viewer" or "admin" in any letter case.
Result<Role> parse_role(std::string_view text);
std::string_view role_name(Role role);

// "TOKEN=ORG:ROLE" as --bootstrap-token takes it. The token may hold '=' itself: the last one
// counts. Errors never repeat the token.
Result<Token> parse_bootstrap_token(std::string_view text, Timestamp now);

// A token as its store record has it.
std::string encode_token(const Token& token);
Result<Token> decode_token(std::string_view text);

}  // namespace staithe::auth
