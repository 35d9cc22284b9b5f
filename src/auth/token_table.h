#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/principal.h"
#include "base/clock.h"

namespace staithe::auth {

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
};

std::string hash_token(std::string_view token);

// An immutable snapshot of all tokens, looked up by hash. Made by `app` whenever the store's tokens
// change.
class TokenSnapshot {
 public:
  explicit TokenSnapshot(std::vector<Token> tokens);
  // The principal of the token with this hash, unless unknown or expired at `now`.
  std::optional<Principal> find(std::string_view hash, Timestamp now) const;

 private:
  std::unordered_map<std::string, Token> by_hash_;
};

// The current snapshot, for every thread that authenticates. Any thread.
class TokenTable {
 public:
  TokenTable();
  void replace(std::shared_ptr<const TokenSnapshot> snapshot);
  std::shared_ptr<const TokenSnapshot> snapshot() const;

  // Reads "Bearer TOKEN" (the scheme in any letter case) out of an Authorization header's value.
  std::optional<Principal> authenticate(std::string_view authorization, Timestamp now) const;

 private:
  mutable std::mutex mutex_;  // guards snapshot_
  std::shared_ptr<const TokenSnapshot> snapshot_;
};

}  // namespace staithe::auth
