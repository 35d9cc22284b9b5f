#include "gateway/limits.h"

#include <fmt/format.h>

#include <algorithm>

namespace staithe::gateway {
namespace {

constexpr std::int64_t minute_ns = 60'000'000'000;
constexpr std::int64_t second_ns = 1'000'000'000;
// Accounts of callers that have gone quiet are let go beyond this number.
constexpr std::size_t accounts_kept_max = 10'000;

std::int64_t ns_of(Instant time) {
  return time.time_since_epoch().count();
}

// How long a bucket that takes `limit` a minute needs for `count`.
std::int64_t cost_ns(std::uint64_t count, std::uint32_t limit) {
  const double cost = static_cast<double>(count) * static_cast<double>(minute_ns) / limit;
  return static_cast<std::int64_t>(std::min(cost, 1e17));
}

std::uint32_t seconds_for(std::int64_t ns) {
  return static_cast<std::uint32_t>(std::max<std::int64_t>((ns + second_ns - 1) / second_ns, 1));
}

// Pours `cost` into the bucket if `room` is left before; else the nanoseconds until it is.
std::optional<std::int64_t> pour(std::atomic<std::int64_t>& empty_at, std::int64_t cost,
                                 std::int64_t room, std::int64_t now) {
  std::int64_t seen = empty_at.load(std::memory_order_relaxed);
  while (true) {
    const std::int64_t from = std::max(seen, now);
    const std::int64_t missing = from + room - (now + minute_ns);
    if (missing > 0) return missing;
    if (empty_at.compare_exchange_weak(seen, from + cost, std::memory_order_relaxed)) {
      return std::nullopt;
    }
  }
}

std::string_view name_of(LimitAccount::Missing missing) {
  switch (missing) {
    case LimitAccount::Missing::parallel_requests:
      return "requests at the same time";
    case LimitAccount::Missing::requests:
      return "requests per minute";
    case LimitAccount::Missing::tokens:
      break;
  }
  return "tokens per minute";
}

std::uint32_t number_of(const LimitRule& rule, LimitAccount::Missing missing) {
  switch (missing) {
    case LimitAccount::Missing::parallel_requests:
      return rule.parallel_requests;
    case LimitAccount::Missing::requests:
      return rule.requests_per_minute;
    case LimitAccount::Missing::tokens:
      break;
  }
  return rule.tokens_per_minute;
}

}  // namespace

bool LimitRules::is_empty() const {
  const auto is_unlimited = [](const auto& one) { return one.second.is_empty(); };
  return each_organization.is_empty() && each_token.is_empty() &&
         std::all_of(organizations.begin(), organizations.end(), is_unlimited) &&
         std::all_of(tokens.begin(), tokens.end(), is_unlimited);
}

// --- One account ---------------------------------------------------------------------------------

std::optional<LimitAccount::Shortage> LimitAccount::take(const LimitRule& rule,
                                                         std::uint64_t tokens, Instant now) {
  // A refused request is counted nowhere.
  if (parallel_.fetch_add(1, std::memory_order_relaxed) >= rule.parallel_requests &&
      rule.parallel_requests > 0) {
    release();
    return Shortage{Missing::parallel_requests, 1};
  }
  const std::int64_t now_ns = ns_of(now);
  if (rule.tokens_per_minute > 0) {
    const auto missing = pour(tokens_empty_at_, cost_ns(tokens, rule.tokens_per_minute),
                              cost_ns(1, rule.tokens_per_minute), now_ns);
    if (missing) {
      release();
      return Shortage{Missing::tokens, seconds_for(*missing)};
    }
  }
  if (rule.requests_per_minute > 0) {
    const std::int64_t cost = cost_ns(1, rule.requests_per_minute);
    if (const auto missing = pour(requests_empty_at_, cost, cost, now_ns)) {
      add_tokens(rule, -static_cast<std::int64_t>(tokens));
      release();
      return Shortage{Missing::requests, seconds_for(*missing)};
    }
  }
  return std::nullopt;
}

void LimitAccount::give_back(const LimitRule& rule, std::uint64_t tokens) {
  add_tokens(rule, -static_cast<std::int64_t>(tokens));
  if (rule.requests_per_minute > 0) {
    requests_empty_at_.fetch_sub(cost_ns(1, rule.requests_per_minute), std::memory_order_relaxed);
  }
  release();
}

void LimitAccount::add_tokens(const LimitRule& rule, std::int64_t tokens) {
  if (rule.tokens_per_minute == 0 || tokens == 0) return;
  const std::int64_t cost =
      cost_ns(static_cast<std::uint64_t>(std::abs(tokens)), rule.tokens_per_minute);
  tokens_empty_at_.fetch_add(tokens > 0 ? cost : -cost, std::memory_order_relaxed);
}

bool LimitAccount::is_idle(Instant now) const {
  return parallel() == 0 && requests_empty_at_.load(std::memory_order_relaxed) <= ns_of(now) &&
         tokens_empty_at_.load(std::memory_order_relaxed) <= ns_of(now);
}

// --- One request ---------------------------------------------------------------------------------

LimitGuard::~LimitGuard() {
  if (!is_settled_) expect_tokens(0);
  for (const Share& share : shares_) {
    if (share.account != nullptr) share.account->release();
  }
}

void LimitGuard::expect_tokens(std::uint64_t tokens) {
  const auto more = static_cast<std::int64_t>(tokens) - static_cast<std::int64_t>(tokens_);
  for (const Share& share : shares_) {
    if (share.account != nullptr) share.account->add_tokens(*share.rule, more);
  }
  tokens_ = tokens;
}

void LimitGuard::settle_tokens(std::uint64_t tokens) {
  expect_tokens(tokens);
  is_settled_ = true;
}

// --- Everybody -----------------------------------------------------------------------------------

struct LimitBook::Rules {
  using Rule = std::shared_ptr<const LimitRule>;

  explicit Rules(LimitRules rules)
      : each_organization(std::make_shared<LimitRule>(std::move(rules.each_organization))),
        each_token(std::make_shared<LimitRule>(std::move(rules.each_token))) {
    for (auto& [id, rule] : rules.organizations) {
      organizations.emplace(id, std::make_shared<LimitRule>(std::move(rule)));
    }
    for (auto& [id, rule] : rules.tokens) {
      tokens.emplace(id.first + '/' + id.second, std::make_shared<LimitRule>(std::move(rule)));
    }
  }
  const Rule& of_organization(const std::string& id) const {
    const auto found = organizations.find(id);
    return found == organizations.end() ? each_organization : found->second;
  }
  const Rule& of_token(const std::string& key) const {
    const auto found = tokens.find(key);
    return found == tokens.end() ? each_token : found->second;
  }

  Rule each_organization;
  Rule each_token;
  StringMap<Rule> organizations;
  StringMap<Rule> tokens;  // by organization, a slash and the token
};

void LimitBook::set_rules(LimitRules rules) {
  const bool is_limiting = !rules.is_empty();
  auto built = std::make_shared<const Rules>(std::move(rules));
  {
    const std::lock_guard lock(mutex_);
    rules_.swap(built);
  }
  is_limiting_.store(is_limiting, std::memory_order_release);
}

LimitBook::Admission LimitBook::admit(const UsageCaller& caller, std::uint64_t tokens,
                                      Instant now) {
  if (!is_limiting_.load(std::memory_order_acquire)) return nullptr;
  const std::string key = caller.organization + '/' + caller.token_id;
  std::array<LimitGuard::Share, 2> shares;
  {
    const std::lock_guard lock(mutex_);
    const auto& of_token = rules_->of_token(key);
    const auto& of_organization = rules_->of_organization(caller.organization);
    if (!of_token->is_empty()) shares[0] = {account(key, now), of_token};
    if (!of_organization->is_empty()) {
      shares[1] = {account(caller.organization, now), of_organization};
    }
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].account == nullptr) continue;
    const LimitRule& rule = *shares[i].rule;
    const auto shortage = shares[i].account->take(rule, tokens, now);
    if (!shortage) continue;
    if (i == 1 && shares[0].account != nullptr)
      shares[0].account->give_back(*shares[0].rule, tokens);
    return errors::limit_reached(
        fmt::format("{} has reached its limit of {} {}. Try again in {} s.",
                    i == 0 ? "This API access token" : "This organization",
                    number_of(rule, shortage->what), name_of(shortage->what),
                    shortage->retry_after_s),
        shortage->retry_after_s);
  }
  if (shares[0].account == nullptr && shares[1].account == nullptr) return nullptr;
  return std::make_unique<LimitGuard>(std::move(shares), tokens);
}

bool LimitBook::may_call(const UsageCaller& caller, std::string_view model) const {
  if (!is_limiting_.load(std::memory_order_acquire)) return true;
  std::shared_ptr<const LimitRule> rule;
  {
    const std::lock_guard lock(mutex_);
    rule = rules_->of_token(caller.organization + '/' + caller.token_id);
  }
  return rule->models.empty() ||
         std::find(rule->models.begin(), rule->models.end(), model) != rule->models.end();
}

std::shared_ptr<LimitAccount> LimitBook::account(const std::string& key, Instant now) {
  if (accounts_.size() > std::max(accounts_max_, accounts_kept_max)) {
    std::erase_if(accounts_, [now](const auto& one) {
      return one.second.use_count() == 1 && one.second->is_idle(now);
    });
    accounts_max_ = 2 * accounts_.size();
  }
  std::shared_ptr<LimitAccount>& found = accounts_[key];
  if (found == nullptr) found = std::make_shared<LimitAccount>();
  return found;
}

}  // namespace staithe::gateway
