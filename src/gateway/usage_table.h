#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"

namespace staithe::gateway {

// Whose requests, of what, and when.
struct UsageKey {
  Timestamp hour;            // its beginning
  std::string organization;  // the caller's
  std::string token_id;      // of the caller's token, or "wandb:<entity>"
  std::string deployment_id;
  std::string model;  // as clients call it
  auto operator<=>(const UsageKey&) const = default;
};

struct UsageTotals {
  std::uint64_t requests = 0;   // sent to an engine
  std::uint64_t aborted = 0;    // of them, whose client left before the end
  std::uint64_t failed = 0;     // of them, refused by their engine or broken
  std::uint64_t estimated = 0;  // of them, whose tokens the engine did not report
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;  // of the prompts
  std::uint64_t completion_tokens = 0;

  UsageTotals& operator+=(const UsageTotals& other);
  bool operator==(const UsageTotals&) const = default;
};

using UsageRows = std::map<UsageKey, UsageTotals>;

class UsageTable;

// What all loops have counted since this was asked last. Made before the loops' tables and
// destroyed after them. Any thread.
class UsageBook {
 public:
  // Takes it all away.
  UsageRows collect();

 private:
  friend class UsageTable;
  std::mutex mutex_;  // guards what follows
  std::vector<UsageTable*> tables_;
  UsageRows left_;  // by tables that are gone
};

// What one loop counts. Its lock is taken by that loop at the end of each request, and by the
// book's reader for as long as a swap takes.
class UsageTable {
 public:
  explicit UsageTable(UsageBook& book);
  ~UsageTable();
  UsageTable(const UsageTable&) = delete;
  UsageTable& operator=(const UsageTable&) = delete;

  void add(UsageKey key, const UsageTotals& totals);

 private:
  friend class UsageBook;
  UsageRows take();

  UsageBook& book_;
  std::mutex mutex_;  // guards rows_
  UsageRows rows_;
};

}  // namespace staithe::gateway
