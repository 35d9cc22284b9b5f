#include "store/record_cache.h"

#include <utility>

namespace staithe::store {

std::string RecordCache::key_of(Kind kind, std::string_view id) {
  std::string key(1, static_cast<char>(kind));
  key += id;
  return key;
}

std::shared_ptr<const Record> RecordCache::find(Kind kind, std::string_view id) {
  const std::string key = key_of(kind, id);
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return *found->second;
}

std::uint64_t RecordCache::generation() const {
  const std::lock_guard lock(mutex_);
  return generation_;
}

void RecordCache::keep(const Record& record, std::uint64_t generation) {
  auto kept = std::make_shared<const Record>(record);
  std::string key = key_of(record.kind, record.id);
  const std::lock_guard lock(mutex_);
  if (generation != generation_ || by_key_.contains(key)) return;
  order_.push_front(std::move(kept));
  by_key_.emplace(std::move(key), order_.begin());
  if (order_.size() <= length_max_) return;
  by_key_.erase(key_of(order_.back()->kind, order_.back()->id));
  order_.pop_back();
}

void RecordCache::forget(const Transaction& transaction) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  for (const Step& step : transaction) {
    const auto record = record_of(step);
    if (!record) continue;
    const auto found = by_key_.find(key_of(record->kind, record->id));
    if (found == by_key_.end()) continue;
    order_.erase(found->second);
    by_key_.erase(found);
  }
}

}  // namespace staithe::store
