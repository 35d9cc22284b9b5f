#include "app/usage_writer.h"

#include <utility>
#include <vector>

namespace staithe::app {
namespace {

store::UsageRow row_of(const gateway::UsageKey& key, const gateway::UsageTotals& totals) {
  return {.hour = key.hour,
          .organization = key.organization,
          .token_id = key.token_id,
          .deployment_id = key.deployment_id,
          .model = key.model,
          .requests = totals.requests,
          .aborted = totals.aborted,
          .failed = totals.failed,
          .estimated = totals.estimated,
          .prompt_tokens = totals.prompt_tokens,
          .cached_tokens = totals.cached_tokens,
          .completion_tokens = totals.completion_tokens};
}

}  // namespace

UsageWriter::UsageWriter(gateway::UsageBook& book, store::Store& store,
                         std::chrono::milliseconds interval, Metrics& metrics, const Log& log)
    : book_(book),
      store_(store),
      interval_(interval),
      log_(log),
      lost_(metrics.counter("staithe_usage_requests_lost_total",
                            "Requests whose usage could not be written down.")),
      thread_("usage", [this] { run(); }) {}

UsageWriter::~UsageWriter() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

void UsageWriter::run() {
  bool is_last = false;
  while (!is_last) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, interval_, [this] { return is_stopping_; });
      is_last = is_stopping_;
    }
    collect();
    if (write() || !is_last) continue;
    std::uint64_t requests = 0;
    for (const auto& [key, totals] : rows_) requests += totals.requests;
    lost_.add(requests);
    log_.error("usage is lost: the store did not take it until the end", {{"requests", requests}});
  }
}

void UsageWriter::collect() {
  std::uint64_t lost = 0;
  for (auto& [key, totals] : book_.collect()) {
    const auto found = rows_.find(key);
    if (found != rows_.end()) {
      found->second += totals;
    } else if (rows_.size() < rows_max) {
      rows_.emplace(key, totals);
    } else {
      lost += totals.requests;
    }
  }
  if (lost == 0) return;
  lost_.add(lost);
  log_.error("usage is lost: too much waits for the store", {{"requests", lost}});
}

bool UsageWriter::write() {
  if (rows_.empty()) return true;
  store::AddUsage step;
  step.rows.reserve(rows_.size());
  for (const auto& [key, totals] : rows_) step.rows.push_back(row_of(key, totals));
  const auto written = store_.commit_and_wait({std::move(step)});
  if (!written) {
    log_.warning("the store did not take the usage; it is kept and written later",
                 {{"error", written.error().message}, {"rows", rows_.size()}});
    return false;
  }
  rows_.clear();
  return true;
}

}  // namespace staithe::app
