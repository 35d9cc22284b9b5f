#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/usage.h"

namespace staithe::store {

// The kinds of records, by their number in the database. Numbers are never reused.
enum class Kind : std::uint8_t {
  claim = 1,
  gateway = 2,
  deployment = 3,
  node = 4,
  replica = 5,
  token = 6,
  limit = 7,
};

// A key that at most one record of the whole store may hold, enforced by the database itself.
// Claiming a node and taking a GPU slot are unique keys, which is what makes overselling
// impossible.
struct UniqueKey {
  std::string scope;  // "name/gateway/<organization>", "dns", "claim-node", "gpu-slot", ...
  std::string key;
  auto operator<=>(const UniqueKey&) const = default;
};

// One stored thing. Spec and status are texts the store does not read (model/codec.h writes them).
struct Record {
  Kind kind = Kind::claim;
  std::string id;
  std::string organization;  // empty for things of the installation (nodes)
  std::string spec;
  std::string status;
  std::uint64_t version = 0;   // raised by every write of this record; 1 after its creation
  std::uint64_t revision = 0;  // of the whole store, at this record's last write
  Timestamp created_at;
  std::vector<UniqueKey> keys;  // sorted, none twice

  bool operator==(const Record&) const = default;
};

// The steps of a transaction, applied in order: each sees what the ones before it did, so a key
// must be given up before another record takes it. `version` is the one the caller read: if the
// record has moved on, the whole transaction is ABORTED and changes nothing.
struct Create {
  Kind kind;
  std::string id;
  std::string organization;
  std::string spec;
  std::string status;
  Timestamp created_at;
  std::vector<UniqueKey> keys;
};
// Absent members stay as they are. `keys`, when given, replaces the record's whole set.
struct Update {
  Kind kind;
  std::string id;
  std::uint64_t version;
  std::optional<std::string> spec;
  std::optional<std::string> status;
  std::optional<std::vector<UniqueKey>> keys;
};
struct Remove {
  Kind kind;
  std::string id;
  std::uint64_t version;
};
// Nothing changes, but the record must still exist at this version (a reference that was checked).
struct Expect {
  Kind kind;
  std::string id;
  std::uint64_t version;
};
// Adds to what is kept of each row's key. No record changes, so the feed tells nothing of it.
struct AddUsage {
  std::vector<UsageRow> rows;
};
using Step = std::variant<Create, Update, Remove, Expect, AddUsage>;
using Transaction = std::vector<Step>;

// The record a step is about; nothing for one that is about none.
struct RecordName {
  Kind kind;
  std::string_view id;
};
std::optional<RecordName> record_of(const Step& step);

// Errors of a commit. Each names in `reason` what happened, so that callers can tell them apart:
// - ALREADY_EXISTS "ID_TAKEN": a Create of a present (kind, id); resources[0].name is the id.
// - ALREADY_EXISTS "KEY_TAKEN": another record holds a unique key; violations[0].field is the
// scope,
//   violations[0].description the key, resources[0].name the id of the holder.
// - ABORTED "VERSION_CHANGED": a version did not match or the record is gone; resources[0].name is
//   its id.
// - UNAVAILABLE "STORE_UNAVAILABLE": the database failed or the queue is full; nothing was changed.
inline constexpr std::string_view reason_id_taken = "ID_TAKEN";
inline constexpr std::string_view reason_key_taken = "KEY_TAKEN";
inline constexpr std::string_view reason_version_changed = "VERSION_CHANGED";
inline constexpr std::string_view reason_unavailable = "STORE_UNAVAILABLE";

struct Commit {
  // Every record written carries this. A transaction that writes nothing gets the present one.
  std::uint64_t revision = 0;
};
using CommitDone = std::function<void(Result<Commit>)>;

// One entry of the change feed: the latest state of a record, not its history.
struct Change {
  Kind kind;
  std::string id;
  std::uint64_t revision = 0;
  bool removed = false;
};
struct Changes {
  // Ascending revision; a record that changed twice appears once, at its last.
  std::vector<Change> changes;
  std::uint64_t revision = 0;  // ask again after this
  // The feed no longer knows all removals after the revision asked for (or never had it). Nothing
  // else is filled in but `revision`: list everything anew, then go on from there.
  bool lost = false;
};

// What must survive. Any thread.
//
// A committed transaction is on disk before `done` is called, and every later read sees it. Commits
// are grouped: many callers share one flush.
class Store {
 public:
  virtual ~Store() = default;

  virtual Result<std::optional<Record>> get(Kind kind, std::string_view id) = 0;
  // What get() would give, if that is at hand without waiting; null if not. The same pointer for as
  // long as the record does not change.
  virtual std::shared_ptr<const Record> peek(Kind, std::string_view) { return nullptr; }
  // Ordered by created_at, then id. An empty organization means all.
  virtual Result<std::vector<Record>> list(Kind kind, std::string_view organization = {}) = 0;
  // The record that holds a unique key, if any.
  virtual Result<std::optional<Record>> find(const UniqueKey& key) = 0;

  // Queues the transaction and returns at once. `done` runs exactly once, on the store's writer
  // thread (on the caller's in the memory store, and wherever the queue is full): it must be quick
  // and must not call commit_and_wait.
  virtual void commit(Transaction transaction, CommitDone done) = 0;
  // Blocks for the result. Never on an event loop.
  Result<Commit> commit_and_wait(Transaction transaction);

  // Everything that changed after `revision` (0: everything there is), at most `limit` entries. A
  // transaction is never cut in two: one that alone is longer than `limit` comes whole.
  virtual Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) = 0;
  // Calls `wake` soon after each commit, on an unspecified thread, coalesced. The feed is the
  // truth, this is the wake-up. Destroying the subscription waits for a running call, so `wake`
  // must not do it itself.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  virtual std::unique_ptr<Subscription> subscribe(std::function<void()> wake) = 0;
  // Every record there is, in no order: one pass for those who read everything. The records may
  // come without their keys, and `take` must not call the store.
  virtual Result<void> each(const std::function<void(const Record&)>& take);

  // The sums that AddUsage steps have made. A store that wraps another may keep none.
  virtual Result<std::vector<UsageRow>> usage(const UsageQuery&) { return std::vector<UsageRow>{}; }
};

}  // namespace staithe::store
