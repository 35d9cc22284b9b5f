#pragma once

#include <fcntl.h>

#include <condition_variable>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/unique_fd.h"
#include "store/sqlite/sqlite_store.h"
#include "store/test_directory.h"

namespace staithe::store {

// A directory and what else a SqliteStore needs, for tests that open it more than once.
struct SqliteSetting {
  TestDirectory directory;
  FakeClock clock;
  UniqueFd nowhere{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Log log{nowhere.get()};
  Metrics metrics;

  Result<std::unique_ptr<Store>> try_open(SqliteOptions options = {}) {
    options.metrics = &metrics;
    return open_sqlite_store(directory.database(), options, clock, log);
  }
  std::unique_ptr<Store> open(SqliteOptions options = {}) {
    auto store = try_open(options);
    CHECK_THAT(store.has_value(), store.has_value() ? "" : store.error().message);
    return std::move(store).value();
  }
  std::uint64_t flush_count() { return metrics.counter("staithe_store_flushes_total", "").value(); }
};

inline Create make_create(std::string id, std::vector<UniqueKey> keys = {},
                          std::string spec = "spec") {
  return {.kind = Kind::claim,
          .id = std::move(id),
          .organization = "cw1a2b",
          .spec = std::move(spec),
          .status = "",
          .created_at = Timestamp{},
          .keys = std::move(keys)};
}

// Holds the writer thread between two batches, so that what a test commits meanwhile becomes one.
class HeldWriter {
 public:
  explicit HeldWriter(Store& store) {
    store.commit({}, [this](const Result<Commit>&) {
      held_.count_down();
      release_.wait();
    });
    held_.wait();
  }
  void release() { release_.count_down(); }

 private:
  std::latch held_{1};
  std::latch release_{1};
};

// The outcomes of transactions that were committed without waiting, in order.
class Outcomes {
 public:
  explicit Outcomes(std::size_t count) : results_(count) {}

  CommitDone done(std::size_t index) {
    return [this, index](Result<Commit> result) {
      const std::lock_guard lock(mutex_);
      results_.at(index).emplace(std::move(result));
      ++arrived_count_;
      arrived_.notify_all();
    };
  }
  void wait() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return arrived_count_ == results_.size(); });
  }
  std::size_t arrived_count() {
    const std::lock_guard lock(mutex_);
    return arrived_count_;
  }
  const Result<Commit>& operator[](std::size_t index) const { return *results_.at(index); }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::optional<Result<Commit>>> results_;
  std::size_t arrived_count_ = 0;
};

}  // namespace staithe::store
