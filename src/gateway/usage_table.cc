#include "gateway/usage_table.h"

#include <algorithm>
#include <utility>

namespace staithe::gateway {
namespace {

void add_all(UsageRows& rows, UsageRows more) {
  if (rows.empty()) {
    rows = std::move(more);
    return;
  }
  for (const auto& [key, totals] : more) rows[key] += totals;
}

}  // namespace

UsageTotals& UsageTotals::operator+=(const UsageTotals& other) {
  requests += other.requests;
  aborted += other.aborted;
  failed += other.failed;
  estimated += other.estimated;
  prompt_tokens += other.prompt_tokens;
  cached_tokens += other.cached_tokens;
  completion_tokens += other.completion_tokens;
  return *this;
}

UsageRows UsageBook::collect() {
  const std::lock_guard lock(mutex_);
  UsageRows all = std::exchange(left_, {});
  for (UsageTable* table : tables_) add_all(all, table->take());
  return all;
}

UsageTable::UsageTable(UsageBook& book) : book_(book) {
  const std::lock_guard lock(book_.mutex_);
  book_.tables_.push_back(this);
}

UsageTable::~UsageTable() {
  const std::lock_guard lock(book_.mutex_);
  std::erase(book_.tables_, this);
  add_all(book_.left_, take());
}

void UsageTable::add(UsageKey key, const UsageTotals& totals) {
  const std::lock_guard lock(mutex_);
  rows_[std::move(key)] += totals;
}

UsageRows UsageTable::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(rows_, {});
}

}  // namespace staithe::gateway
