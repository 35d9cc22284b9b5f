#include "auth/token_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/time_text.h"

namespace staithe::auth {
namespace {

Error invalid(std::string message) {
  return Error{.code = Code::invalid_argument, .message = std::move(message)};
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::string make_token_text(Random& random) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    const std::uint64_t word = random.next();
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  std::string text = base64(bytes);
  while (!text.empty() && text.back() == '=') text.pop_back();
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return "CW-SECRET-" + text;
}

// cw and four hex digits, s or q and five, poc and three, or six.
bool is_organization_id(std::string_view text) {
  if (text.size() != 6) return false;
  if (text.starts_with("cw")) return is_hex(text.substr(2));
  if (text.starts_with("poc")) return is_hex(text.substr(3));
  if (text.front() == 's' || text.front() == 'q') return is_hex(text.substr(1));
  return is_hex(text);
}

Result<Role> parse_role(std::string_view text) {
  if (equals_ignoring_case(text, "admin")) return Role::admin;
  if (equals_ignoring_case(text, "viewer")) return Role::viewer;
  return invalid("a role is viewer or admin");
}

std::string_view role_name(Role role) {
  return role == Role::admin ? "admin" : "viewer";
}

Result<Token> parse_bootstrap_token(std::string_view text, Timestamp now) {
  const auto equals = text.rfind('=');
  const auto colon = text.rfind(':');
  if (equals == std::string_view::npos || equals == 0 || colon == std::string_view::npos ||
      colon < equals) {
    return invalid("a bootstrap token is TOKEN=ORG:ROLE, for example test=cw1a2b:admin");
  }
  const std::string_view organization = text.substr(equals + 1, colon - equals - 1);
  if (!is_organization_id(organization)) {
    return invalid(
        "the organization of a bootstrap token must look like cw1a2b (cw and four hex digits)");
  }
  TRY_ASSIGN(const Role role, parse_role(text.substr(colon + 1)));
  Token token;
  token.hash = hash_token(text.substr(0, equals));
  token.id = "bootstrap-" + hex(std::string_view(token.hash).substr(0, 4));
  token.name = "bootstrap";
  token.organization = organization;
  token.role = role;
  token.created_at = now;
  return token;
}

std::string encode_token(const Token& token) {
  nlohmann::json text{{"id", token.id},
                      {"name", token.name},
                      {"hash", hex(token.hash)},
                      {"organization", token.organization},
                      {"role", role_name(token.role)},
                      {"created_at", format_timestamp(token.created_at)}};
  if (token.expires_at) text["expires_at"] = format_timestamp(*token.expires_at);
  return text.dump();
}

Result<Token> decode_token(std::string_view text) {
  const Error damaged{.code = Code::data_loss, .message = "a stored token cannot be read"};
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return damaged;
  const auto text_of = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
  };
  Token token;
  token.id = text_of("id");
  token.name = text_of("name");
  token.organization = text_of("organization");
  const std::string hash = text_of("hash");
  if (hash.size() != 64 || !is_hex(hash)) return damaged;
  for (std::size_t i = 0; i < hash.size(); i += 2) {
    token.hash += static_cast<char>(std::stoi(hash.substr(i, 2), nullptr, 16));
  }
  TRY_ASSIGN(token.role, parse_role(text_of("role")));
  TRY_ASSIGN(token.created_at, parse_timestamp(text_of("created_at")));
  if (json.contains("expires_at")) {
    TRY_ASSIGN(token.expires_at, parse_timestamp(text_of("expires_at")));
  }
  return token;
}

}  // namespace staithe::auth
