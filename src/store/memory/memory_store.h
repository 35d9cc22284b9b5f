#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"
#include "store/subscribers.h"

namespace staithe::store {

// A store that forgets when it goes, for tests. Commits happen on the caller's thread.
class MemoryStore final : public Store {
 public:
  explicit MemoryStore(std::size_t tombstones_max = 100'000) : tombstones_max_(tombstones_max) {}

  Result<std::optional<Record>> get(Kind kind, std::string_view id) override;
  Result<std::vector<Record>> list(Kind kind, std::string_view organization = {}) override;
  Result<std::optional<Record>> find(const UniqueKey& key) override;
  void commit(Transaction transaction, CommitDone done) override;
  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) override;
  std::unique_ptr<Subscription> subscribe(std::function<void()> wake) override;
  Result<std::vector<UsageRow>> usage(const UsageQuery& query) override;

 private:
  using RecordId = std::pair<Kind, std::string>;
  class Draft;

  Result<Commit> apply(const Transaction& transaction);
  void take_over(const Draft& draft);

  const std::size_t tombstones_max_;
  std::mutex mutex_;  // guards everything down to pruned_to_
  std::map<RecordId, Record> records_;
  std::map<UniqueKey, RecordId> holders_;
  std::vector<UsageRow> usage_;                   // as they were added
  std::map<RecordId, std::uint64_t> tombstones_;  // the revision of each removal
  std::uint64_t revision_ = 0;
  std::uint64_t pruned_to_ = 0;  // removals up to here may be forgotten

  Subscribers subscribers_;
};

}  // namespace staithe::store
