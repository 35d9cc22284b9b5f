#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "store/records.h"
#include "store/store.h"

namespace staithe::store {

// Decoded values of the records that the store has at hand, so that reading a resource over and
// over neither waits nor parses. A value is good for exactly the record it was made of. Any thread.
template <typename T>
class DecodedCache {
 public:
  using Decode = Result<Versioned<T>> (*)(const Record&);

  DecodedCache(Kind kind, Decode decode) : kind_(kind), decode_(decode) {}

  Kind kind() const { return kind_; }
  // Null when the record is not at hand, or does not parse, which reading it will tell.
  std::shared_ptr<const Versioned<T>> peek(Store& store, std::string_view id) {
    const std::shared_ptr<const Record> record = store.peek(kind_, id);
    if (record == nullptr) return nullptr;
    {
      const std::lock_guard lock(mutex_);
      const auto found = by_id_.find(record->id);
      if (found != by_id_.end() && found->second.record == record) return found->second.value;
    }
    auto decoded = decode_(*record);
    if (!decoded) return nullptr;
    auto value = std::make_shared<const Versioned<T>>(*std::move(decoded));
    const std::lock_guard lock(mutex_);
    if (by_id_.size() >= length_max) by_id_.clear();
    by_id_[record->id] = {record, value};
    return value;
  }

 private:
  static constexpr std::size_t length_max = 4096;
  struct Entry {
    std::shared_ptr<const Record> record;
    std::shared_ptr<const Versioned<T>> value;
  };

  const Kind kind_;
  const Decode decode_;
  std::mutex mutex_;  // guards by_id_
  std::unordered_map<std::string, Entry> by_id_;
};

}  // namespace staithe::store
