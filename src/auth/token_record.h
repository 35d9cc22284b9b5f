#pragma once

#include <string>
#include <string_view>

#include "auth/token.h"
#include "base/random.h"
#include "base/result.h"

// Making tokens and keeping them.
namespace staithe::auth {

// A new token's text: "CW-SECRET-" and 256 bits of chance in 43 URL-safe characters. The caller
// shows it once and keeps hash_token() of it.
std::string make_token_text(Random& random);

// True for six characters as the API defines an organization's id ("cw1a2b").
bool is_organization_id(std::string_view text);

Result<Role> parse_role(std::string_view text);  // "viewer" or "admin" in any letter case
std::string_view role_name(Role role);           // "viewer", "admin"

// Reads "TOKEN=ORGANIZATION:ROLE" as --bootstrap-token takes it, into a token that never
// expires. TOKEN may itself contain '=' and ':'. The error says what is wrong without quoting the
// token.
Result<Token> parse_bootstrap_token(std::string_view text, Timestamp now);

// A token as the text of a store record. A text that does not parse is DATA_LOSS.
std::string encode_token(const Token& token);
Result<Token> decode_token(std::string_view text);

}  // namespace staithe::auth
