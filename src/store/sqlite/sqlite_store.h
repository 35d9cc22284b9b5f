#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "store/sqlite/ownership.h"
#include "store/store.h"

namespace staithe::store {

// When an owner looks through its whole database for damage. That takes as long as reading it.
enum class Check : std::uint8_t {
  at_open,
  by_caller,  // who calls check_sqlite_database(), beside other work, and heeds what it says
};

struct SqliteOptions {
  std::size_t queue_length_max = 65'536;   // transactions waiting for the writer; more are refused
  std::size_t batch_length_max = 1'024;    // transactions that share one flush
  std::size_t tombstones_max = 100'000;    // removals the change feed remembers
  std::size_t reader_count = 4;            // connections for reads
  std::size_t cached_records_max = 4'096;  // kept at hand by an owner, for peek()
  // A server owns its database alone. A tool (`staithe token`) may read and write beside it; it
  // makes and migrates nothing. Nobody is woken by what another process wrote: who follows the feed
  // looks again from time to time.
  bool is_owner = true;
  // The database was taken already, by the caller, who keeps it for as long as the store lives;
  // null: an owner takes it here.
  const Ownership* ownership = nullptr;
  Check check = Check::at_open;
  Metrics* metrics = nullptr;  // staithe_store_*; may be null, outlives the store
};

// Opens the database at `path`. An owner makes or migrates it if needed and takes it for this
// process alone: FAILED_PRECONDITION if another one has it. An error here is for the operator: it
// names the path and what to do. `clock` and `log` outlive the store.
Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path,
                                                 const SqliteOptions& options, const Clock& clock,
                                                 const Log& log);

// Looks through the database at `path`: DATA_LOSS when it is damaged. An error is for the operator.
// It may be in use meanwhile. Any thread.
Result<void> check_sqlite_database(const std::string& path);

}  // namespace staithe::store
