#include "auth/token_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/encoding.h"
#include "model/json_text.h"

namespace staithe::auth {
namespace {

namespace json_text = model::json_text;

Error refuse(std::string message) {
  return {.code = Code::invalid_argument, .message = std::move(message), .reason = "TOKEN_INVALID"};
}

}  // namespace

std::string make_token_text(Random& random) {
  std::string bytes;
  for (int word = 0; word < 4; ++word) {
    std::uint64_t bits = random.next();
    for (int i = 0; i < 8; ++i, bits >>= 8) bytes += static_cast<char>(bits & 0xff);
  }
  std::string text = base64(bytes);
  while (text.back() == '=') text.pop_back();
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return "CW-SECRET-" + text;
}

bool is_organization_id(std::string_view text) {
  if (text.size() != 6) return false;
  std::size_t prefix = 0;
  if (text.starts_with("cw")) prefix = 2;
  if (text.starts_with("s") || text.starts_with("q")) prefix = 1;
  if (text.starts_with("poc")) prefix = 3;
  return text.find_first_not_of("0123456789abcdef", prefix) == std::string_view::npos;
}

Result<Role> parse_role(std::string_view text) {
  if (equals_ignoring_case(text, "viewer")) return Role::viewer;
  if (equals_ignoring_case(text, "admin")) return Role::admin;
  return refuse("the role of a token must be viewer or admin");
}

std::string_view role_name(Role role) {
  return role == Role::admin ? "admin" : "viewer";
}

std::string encode_token(const Token& token) {
  json_text::Json json = {{"id", token.id},
                          {"name", token.name},
                          {"hash", base64(token.hash)},
                          {"organization", token.organization},
                          {"role", token.role},
                          {"created", json_text::to_json(token.created_at)}};
  if (token.expires_at) json["expires"] = json_text::to_json(*token.expires_at);
  return json_text::dump(json);
}

Result<Token> decode_token(std::string_view text) {
  return json_text::decode_json(text, [](const json_text::Object& json) {
    Token token;
    json_text::read(json, "id", token.id);
    json_text::read(json, "name", token.name);
    std::string hash;
    json_text::read(json, "hash", hash);
    token.hash = base64_decode(hash).value_or(std::string());
    if (token.hash.size() != token_hash_bytes) throw std::range_error("a hash has a wrong size");
    json_text::read(json, "organization", token.organization);
    json_text::read_enum(json, "role", Role::admin, token.role);
    if (token.role < Role::viewer) throw std::range_error("a token has no role");
    json_text::read(json, "created", token.created_at);
    if (json.contains("expires")) json_text::read(json, "expires", token.expires_at.emplace());
    return token;
  });
}

Result<Token> parse_bootstrap_token(std::string_view text, Timestamp now) {
  // Neither an organization nor a role contains '=', so the last one ends the token.
  const std::size_t token_end = text.rfind('=');
  const std::size_t organization_end =
      token_end == std::string_view::npos ? token_end : text.find(':', token_end);
  if (organization_end == std::string_view::npos) {
    return refuse("a bootstrap token must be written TOKEN=ORGANIZATION:ROLE");
  }
  const std::string_view token = text.substr(0, token_end);
  const std::string_view organization =
      text.substr(token_end + 1, organization_end - token_end - 1);
  const std::string_view role_text = text.substr(organization_end + 1);

  if (!is_token_text(token)) {
    return refuse(
        fmt::format("the token of a bootstrap token must be 1 to {} printable ASCII "
                    "characters without spaces",
                    token_bytes_max));
  }
  if (!is_organization_id(organization)) {
    return refuse(
        "the organization of a bootstrap token must be six characters: cw and 4 hex "
        "digits (as in cw1a2b), s or q and 5, poc and 3, or 6 hex digits, all lower case");
  }
  TRY_ASSIGN(const Role role, parse_role(role_text));
  // Nothing of the hash in the id, which is logged: a token that a person chose could be guessed.
  return Token{.id = fmt::format("bootstrap-{}-{}", organization, role_name(role)),
               .name = "bootstrap",
               .hash = hash_token(token),
               .organization = std::string(organization),
               .role = role,
               .created_at = now};
}

}  // namespace staithe::auth
