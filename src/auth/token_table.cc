#include "auth/token_table.h"

#include <utility>

#include "base/check.h"

namespace staithe::auth {

TokenSnapshot::TokenSnapshot(std::vector<Token> tokens) {
  by_hash_.reserve(tokens.size());
  for (Token& token : tokens) {
    std::string hash = token.hash;
    by_hash_.emplace(std::move(hash), std::move(token));
  }
}

std::optional<Principal> TokenSnapshot::find(std::string_view hash, Timestamp now) const {
  // How long the look-up takes may tell something about a hash, but nothing about a text with it.
  const auto found = by_hash_.find(std::string(hash));
  if (found == by_hash_.end()) return std::nullopt;
  const Token& token = found->second;
  if (token.expires_at && *token.expires_at <= now) return std::nullopt;
  return Principal{.organization = token.organization,
                   .role = token.role,
                   .token_id = token.id,
                   .token_name = token.name};
}

TokenTable::TokenTable() : snapshot_(std::make_shared<TokenSnapshot>(std::vector<Token>{})) {}

void TokenTable::replace(std::shared_ptr<const TokenSnapshot> snapshot) {
  CHECK(snapshot != nullptr);
  {
    const std::lock_guard lock(mutex_);
    snapshot_.swap(snapshot);
  }
  // The former snapshot goes here, with no lock held.
}

std::shared_ptr<const TokenSnapshot> TokenTable::snapshot() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

std::optional<Principal> TokenTable::authenticate(std::string_view authorization,
                                                  Timestamp now) const {
  const std::optional<std::string_view> token = bearer_token(authorization);
  if (!token) return std::nullopt;
  return snapshot()->find(hash_token(*token), now);
}

}  // namespace staithe::auth
