#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "store/store.h"

namespace staithe::store {

// The records that were read last, as they are now. Whoever writes forgets what it wrote before
// anybody is told; a read that a write overtook is not kept. Any thread.
class RecordCache {
 public:
  explicit RecordCache(std::size_t length_max) : length_max_(length_max) {}

  // Null if it is not here.
  std::shared_ptr<const Record> find(Kind kind, std::string_view id);

  // Goes up whenever something is forgotten. A reader asks before it reads and hands it back.
  std::uint64_t generation() const;
  void keep(const Record& record, std::uint64_t generation);
  void forget(const Transaction& transaction);

 private:
  using Order = std::list<std::shared_ptr<const Record>>;
  static std::string key_of(Kind kind, std::string_view id);

  const std::size_t length_max_;
  mutable std::mutex mutex_;  // guards what follows
  Order order_;               // the latest first
  std::unordered_map<std::string, Order::iterator> by_key_;
  std::uint64_t generation_ = 0;
};

}  // namespace staithe::store
