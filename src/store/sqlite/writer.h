#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "store/sqlite/connection.h"
#include "store/store.h"

namespace staithe::store {

// Applies transactions to the database, many to a flush. One thread.
class Writer {
 public:
  // Reads where the database stands.
  static Result<std::unique_ptr<Writer>> start(std::unique_ptr<Connection> connection,
                                               std::size_t tombstones_max, const std::string& path,
                                               const Log& log);

  struct Outcome {
    std::vector<Result<Commit>> results;  // one per transaction
    bool has_flushed = false;             // something was written
  };
  // Each transaction gets its own revision and fails alone; if the database fails, all do and none
  // of them has happened.
  Outcome commit(std::span<const Transaction* const> batch);

 private:
  // Mirrors what `meta` and the tombstones say, so that a commit need not read it.
  struct State {
    std::uint64_t revision = 0;
    std::uint64_t tombstones_pruned_to = 0;
    std::uint64_t tombstone_count = 0;
    bool operator==(const State&) const = default;
  };

  Writer(std::unique_ptr<Connection> connection, std::size_t tombstones_max, const Log& log)
      : connection_(std::move(connection)), tombstones_max_(tombstones_max), log_(log) {}

  // Reads the state anew if somebody else has written since (SqliteOptions::is_owner); SQLITE_OK or
  // an error.
  int catch_up();
  Result<void> begin();
  Result<std::vector<Result<Commit>>> apply_all(std::span<const Transaction* const> batch);
  Result<Commit> apply(const Transaction& transaction);
  Result<void> apply_steps(const Transaction& transaction, std::uint64_t revision);
  Result<void> apply_step(const Create& step, std::uint64_t revision);
  Result<void> apply_step(const Update& step, std::uint64_t revision);
  Result<void> apply_step(const Remove& step, std::uint64_t revision);
  Result<void> apply_step(const Expect& step, std::uint64_t revision);
  Result<void> apply_step(const AddUsage& step, std::uint64_t revision);
  Result<void> take_keys(Kind kind, const std::string& id, std::vector<UniqueKey> keys);
  Error key_taken(const UniqueKey& key);
  Result<void> prune_tombstones();
  Result<void> save_state();
  Result<void> execute(std::string_view sql);  // one statement, a literal
  // UNAVAILABLE for the caller, the cause for the log.
  Error failure(std::string_view doing, int outcome);

  const std::unique_ptr<Connection> connection_;
  const std::size_t tombstones_max_;
  const Log& log_;
  State state_;
  std::int64_t data_version_ = -1;  // SQLite's count of what other connections wrote, at state_
};

}  // namespace staithe::store
