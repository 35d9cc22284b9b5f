#include "reconcile/work_queue.h"

#include <algorithm>

namespace staithe::reconcile {
namespace {

int rank(store::Kind kind) {
  switch (kind) {
    case store::Kind::node:
      return 0;
    case store::Kind::claim:
      return 1;
    case store::Kind::gateway:
      return 2;
    case store::Kind::deployment:
      return 3;
    case store::Kind::replica:
    case store::Kind::token:
    case store::Kind::limit:
      return 4;
  }
  return 4;
}

}  // namespace

void WorkQueue::add(const Key& key, Instant due) {
  if (ready_keys_.contains(key)) return;
  const auto [entry, is_new] = due_.try_emplace(key, due);
  if (!is_new) {
    if (entry->second <= due) return;
    by_time_.erase({entry->second, key});
    entry->second = due;
  }
  by_time_.emplace(due, key);
}

void WorkQueue::promote(Instant now) {
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    const Key key = by_time_.begin()->second;
    by_time_.erase(by_time_.begin());
    due_.erase(key);
    ready_.emplace(rank(key.kind), next_turn_++, key);
    ready_keys_.insert(key);
  }
}

std::optional<Key> WorkQueue::pop(Instant now) {
  promote(now);
  if (ready_.empty()) return std::nullopt;
  Key key = std::get<Key>(*ready_.begin());
  ready_.erase(ready_.begin());
  ready_keys_.erase(key);
  return key;
}

void WorkQueue::add_failed(const Key& key, Instant now) {
  const std::uint32_t failure_count = failures_[key]++;
  Duration delay = options_.failure_delay_first;
  for (std::uint32_t i = 0; i < failure_count && delay < options_.failure_delay_max; ++i) {
    delay *= 2;
  }
  delay = std::min(delay, options_.failure_delay_max);
  const auto jitter_ns =
      static_cast<std::int64_t>(static_cast<double>(delay.count()) / 2 * random_.unit());
  add(key, now + delay - Duration{jitter_ns});
}

std::optional<Instant> WorkQueue::next_due() const {
  if (!ready_.empty()) return Instant::min();
  if (by_time_.empty()) return std::nullopt;
  return by_time_.begin()->first;
}

std::optional<Instant> WorkQueue::due_of(const Key& key) const {
  if (ready_keys_.contains(key)) return Instant::min();
  const auto found = due_.find(key);
  return found == due_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace staithe::reconcile
