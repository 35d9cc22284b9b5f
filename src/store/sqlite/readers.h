#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "store/sqlite/connection.h"
#include "store/store.h"

namespace staithe::store {

// Reads over a few connections, each read a consistent snapshot of the last commit. Any thread; one
// too many waits for a connection.
class Readers {
 public:
  static Result<std::unique_ptr<Readers>> open(const std::string& path, std::size_t count,
                                               const Log& log);

  Result<std::optional<Record>> get(Kind kind, std::string_view id);
  Result<std::vector<Record>> list(Kind kind, std::string_view organization);
  Result<void> each(const std::function<void(const Record&)>& take);
  Result<std::optional<Record>> find(const UniqueKey& key);
  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit);
  Result<std::vector<UsageRow>> usage(const UsageQuery& query);

 private:
  class Snapshot;

  explicit Readers(const Log& log) : log_(log) {}

  const Log& log_;
  std::mutex mutex_;  // guards idle_
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace staithe::store
