#include "auth/token_table.h"

#include <openssl/evp.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "base/encoding.h"

namespace staithe::auth {
namespace {

// Longer texts are nobody's token; hashing them would only be work for a stranger.
constexpr std::size_t token_bytes_max = 4096;

// The token of "Bearer TOKEN" (RFC 6750 section 2.1; the scheme in any letter case, RFC 9110
// section 11.1).
std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer";
  if (authorization.size() <= scheme.size() ||
      !equals_ignoring_case(authorization.substr(0, scheme.size()), scheme) ||
      authorization[scheme.size()] != ' ') {
    return std::nullopt;
  }
  std::string_view token = authorization.substr(scheme.size());
  while (!token.empty() && token.front() == ' ') token.remove_prefix(1);
  while (!token.empty() && token.back() == ' ') token.remove_suffix(1);
  if (token.empty() || token.size() > token_bytes_max) return std::nullopt;
  return token;
}

}  // namespace

std::string hash_token(std::string_view token) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  CHECK(EVP_Digest(token.data(), token.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

TokenSnapshot::TokenSnapshot(std::vector<Token> tokens) {
  for (Token& token : tokens) by_hash_.insert_or_assign(token.hash, std::move(token));
}

std::optional<Principal> TokenSnapshot::find(std::string_view hash, Timestamp now) const {
  const auto found = by_hash_.find(std::string(hash));
  if (found == by_hash_.end()) return std::nullopt;
  const Token& token = found->second;
  if (token.expires_at && *token.expires_at <= now) return std::nullopt;
  return Principal{.organization = token.organization,
                   .role = token.role,
                   .token_id = token.id,
                   .token_name = token.name};
}

TokenTable::TokenTable() : snapshot_(std::make_shared<const TokenSnapshot>(std::vector<Token>{})) {}

void TokenTable::replace(std::shared_ptr<const TokenSnapshot> snapshot) {
  const std::lock_guard lock(mutex_);
  snapshot_ = std::move(snapshot);
}

std::shared_ptr<const TokenSnapshot> TokenTable::snapshot() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

std::optional<Principal> TokenTable::authenticate(std::string_view authorization,
                                                  Timestamp now) const {
  const auto token = bearer_token(authorization);
  if (!token) return std::nullopt;
  return snapshot()->find(hash_token(*token), now);
}

}  // namespace staithe::auth
