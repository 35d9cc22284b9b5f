#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/life.h"
#include "sim/stage.h"
#include "store/memory/memory_store.h"
#include "store/store.h"

namespace staithe::sim {

enum class Writer : std::uint8_t { service, loop };

// The database: it outlives our processes.
class Disk {
 public:
  // It forgets removals beyond the last `tombstones_max`.
  Disk(Stage& stage, std::size_t tombstones_max) : stage_(stage), store_(tombstones_max) {}

  store::MemoryStore& store() { return store_; }
  Result<store::Commit> commit(Writer writer, const store::Transaction& transaction);

  // Shown every transaction that was committed, and every one of the loop's before.
  std::function<void(Writer, const store::Transaction&)> after_commit;

  bool is_out = false;  // it does not answer at the moment
  std::uint64_t commits_of_loop = 0;
  // The newest revision that the feed shows.
  std::uint64_t visible_revision();

 private:
  Stage& stage_;
  store::MemoryStore store_;
  std::uint64_t revision_ = 0;
  std::deque<std::pair<std::uint64_t, Instant>> hidden_;  // until when
};

// The store as the loop of one process of ours sees it.
class LoopStore final : public store::Store {
 public:
  LoopStore(Stage& stage, Timeline::Owner owner, Life& life, Disk& disk,
            std::function<void()> on_wake)
      : stage_(stage), owner_(owner), life_(life), disk_(disk), on_wake_(std::move(on_wake)) {}

  Result<std::optional<store::Record>> get(store::Kind kind, std::string_view id) override;
  Result<std::vector<store::Record>> list(store::Kind kind, std::string_view organization) override;
  Result<std::optional<store::Record>> find(const store::UniqueKey& key) override;
  void commit(store::Transaction transaction, store::CommitDone done) override;
  Result<store::Changes> changes_since(std::uint64_t revision, std::size_t limit) override;
  std::unique_ptr<Subscription> subscribe(std::function<void()> wake) override;

  // What somebody else does just before a commit that names this record.
  std::function<void(store::Kind kind, const std::string& id)> meddle;

 private:
  Result<void> enter();

  Stage& stage_;
  const Timeline::Owner owner_;
  Life& life_;
  Disk& disk_;
  const std::function<void()> on_wake_;
  static constexpr int meddled_max = 20;
  int meddled_ = 0;
};

// The store as the services of one process of ours see it: commits of many callers are under way at
// a time.
class ServiceStore final : public store::Store {
 public:
  ServiceStore(Stage& stage, Timeline::Owner owner, Life& life, Disk& disk)
      : stage_(stage), owner_(owner), life_(life), disk_(disk) {}

  Result<std::optional<store::Record>> get(store::Kind kind, std::string_view id) override;
  Result<std::vector<store::Record>> list(store::Kind kind, std::string_view organization) override;
  Result<std::optional<store::Record>> find(const store::UniqueKey& key) override;
  void commit(store::Transaction transaction, store::CommitDone done) override;
  Result<store::Changes> changes_since(std::uint64_t revision, std::size_t limit) override;
  std::unique_ptr<Subscription> subscribe(std::function<void()> wake) override;

  // What was under way when the process ended: some of it was written, and nobody is told.
  void abandon();
  // Writes what is under way now rather than later.
  void flush();

 private:
  struct Pending {
    store::Transaction transaction;
    store::CommitDone done;
  };

  bool is_down() const { return life_.is_over() || disk_.is_out; }
  void write(std::uint64_t number);

  Stage& stage_;
  const Timeline::Owner owner_;
  Life& life_;
  Disk& disk_;
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t next_ = 0;
};

}  // namespace staithe::sim
