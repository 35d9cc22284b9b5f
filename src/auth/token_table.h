#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/principal.h"
#include "auth/token.h"
#include "base/clock.h"

namespace staithe::auth {

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

  // Whose token the Authorization header's value carries (see bearer_token). Why there is nobody is
  // not told: to the caller a missing, a wrong and an expired token look alike.
  std::optional<Principal> authenticate(std::string_view authorization, Timestamp now) const;

 private:
  mutable std::mutex mutex_;  // guards snapshot_
  std::shared_ptr<const TokenSnapshot> snapshot_;
};

}  // namespace staithe::auth
