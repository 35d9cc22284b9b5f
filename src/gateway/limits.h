#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "gateway/errors.h"
#include "gateway/route_table.h"
#include "gateway/usage_watch.h"

namespace staithe::gateway {

// How much somebody may use; 0 is no limit.
struct LimitRule {
  std::uint32_t requests_per_minute = 0;
  std::uint32_t tokens_per_minute = 0;  // of prompts and answers
  std::uint32_t parallel_requests = 0;
  std::vector<std::string> models;  // that may be called; empty: all

  bool is_empty() const {
    return requests_per_minute == 0 && tokens_per_minute == 0 && parallel_requests == 0 &&
           models.empty();
  }
  bool operator==(const LimitRule&) const = default;
};

// The rules of everybody: those that were set for somebody, and what holds for the others.
struct LimitRules {
  LimitRule each_organization;
  LimitRule each_token;
  std::map<std::string, LimitRule, std::less<>> organizations;  // by id
  // By organization and token, so that no organization limits another's.
  std::map<std::pair<std::string, std::string>, LimitRule> tokens;

  bool is_empty() const;
};

// What one organization or one token has used of late, on all loops. A minute's worth may be used
// at once and comes back evenly: the generic cell rate algorithm (ITU-T I.371, annex A), which is a
// leaky bucket kept as the time at which it will be empty. Any thread.
class LimitAccount {
 public:
  // Takes what a request needs, or says what is missing and takes nothing. Tokens are taken as long
  // as there is one left, so that what is in flight is all that can be used beyond.
  enum class Missing : std::uint8_t { parallel_requests, requests, tokens };
  struct Shortage {
    Missing what;
    std::uint32_t retry_after_s;
  };
  std::optional<Shortage> take(const LimitRule& rule, std::uint64_t tokens, Instant now);
  // Corrects what was taken by this many tokens.
  void add_tokens(const LimitRule& rule, std::int64_t tokens);
  // A request that was let in here was refused elsewhere.
  void give_back(const LimitRule& rule, std::uint64_t tokens);
  // The end of a request.
  void release() { parallel_.fetch_sub(1, std::memory_order_relaxed); }

  std::uint32_t parallel() const { return parallel_.load(std::memory_order_relaxed); }
  bool is_idle(Instant now) const;

 private:
  std::atomic<std::uint32_t> parallel_{0};
  std::atomic<std::int64_t> requests_empty_at_{0};  // nanoseconds of the loops' clock
  std::atomic<std::int64_t> tokens_empty_at_{0};
};

// What one request holds of its limits, until this goes. One loop.
class LimitGuard {
 public:
  struct Share {
    std::shared_ptr<LimitAccount> account;
    std::shared_ptr<const LimitRule> rule;
  };
  LimitGuard(std::array<Share, 2> shares, std::uint64_t tokens)
      : shares_(std::move(shares)), tokens_(tokens) {}
  ~LimitGuard();
  LimitGuard(const LimitGuard&) = delete;
  LimitGuard& operator=(const LimitGuard&) = delete;

  // The request is now believed, or in the end known, to use so many tokens. A guard that goes
  // without being told a number above gives everything back.
  void expect_tokens(std::uint64_t tokens);
  void settle_tokens(std::uint64_t tokens);

 private:
  std::array<Share, 2> shares_;  // of the token and the organization; empty: no limits
  std::uint64_t tokens_;
  bool is_settled_ = false;
};

// The limits of all callers and what they have used. Any thread.
class LimitBook {
 public:
  // Of a request that does not say how much it wants.
  static constexpr std::uint64_t answer_tokens_expected = 256;

  void set_rules(LimitRules rules);

  // Lets a request in, or says which limit it has met. Null: nothing limits it.
  using Admission = std::variant<std::unique_ptr<LimitGuard>, ApiError>;
  Admission admit(const UsageCaller& caller, std::uint64_t tokens, Instant now);
  bool may_call(const UsageCaller& caller, std::string_view model) const;

 private:
  struct Rules;
  std::shared_ptr<LimitAccount> account(const std::string& key, Instant now);

  std::atomic<bool> is_limiting_{false};
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<const Rules> rules_;
  StringMap<std::shared_ptr<LimitAccount>> accounts_;
  std::size_t accounts_max_ = 0;  // beyond, quiet ones are let go
};

}  // namespace staithe::gateway
