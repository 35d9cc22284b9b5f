#include "store/sqlite/readers.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "store/change_window.h"
#include "store/errors.h"
#include "store/sqlite/open_errors.h"

namespace staithe::store {
namespace {

constexpr std::string_view by_id =
    "SELECT kind, id, organization, spec, status, version, revision, created_at FROM resources"
    " WHERE kind = ? AND id = ?";
constexpr std::string_view all_of_kind =
    "SELECT kind, id, organization, spec, status, version, revision, created_at FROM resources"
    " WHERE kind = ? ORDER BY created_at, id";
// As the rows lie in the file.
constexpr std::string_view all_there_is =
    "SELECT kind, id, organization, spec, status, version, revision, created_at FROM resources"
    " NOT INDEXED";
constexpr std::string_view all_of_organization =
    "SELECT kind, id, organization, spec, status, version, revision, created_at FROM resources"
    " WHERE kind = ? AND organization = ? ORDER BY created_at, id";
constexpr std::string_view keys_of_id =
    "SELECT scope, key FROM unique_keys WHERE kind = ? AND id = ? ORDER BY scope, key";
constexpr std::string_view keys_of_kind =
    "SELECT id, scope, key FROM unique_keys WHERE kind = ? ORDER BY id, scope, key";

std::int64_t number(Kind kind) {
  return static_cast<std::int64_t>(kind);
}

// What is not kept apart is one for all rows; an empty text filters nothing.
constexpr std::string_view usage_sums =
    "SELECT CASE WHEN ?1 > 0 THEN hour - hour % ?1 ELSE 0 END,"
    " CASE WHEN ?2 THEN organization ELSE '' END, CASE WHEN ?3 THEN token ELSE '' END,"
    " CASE WHEN ?4 THEN deployment ELSE '' END, CASE WHEN ?5 THEN model ELSE '' END,"
    " sum(requests), sum(aborted), sum(failed), sum(estimated), sum(prompt_tokens),"
    " sum(cached_tokens), sum(completion_tokens) FROM usage"
    " WHERE hour >= ?6 AND hour < ?7 AND (?8 = '' OR organization = ?8)"
    " AND (?9 = '' OR token = ?9) AND (?10 = '' OR deployment = ?10) AND (?11 = '' OR model = ?11)"
    " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT ?12";

// An hour begins before a moment within it, so a bound is rounded up.
std::int64_t seconds_of(Timestamp time) {
  return std::chrono::ceil<std::chrono::seconds>(time).time_since_epoch().count();
}

UsageRow read_usage(const Query& query) {
  const auto count = [&query](int column) {
    return static_cast<std::uint64_t>(query.integer(column));
  };
  return {.hour = Timestamp{std::chrono::seconds{query.integer(0)}},
          .organization = query.text(1),
          .token_id = query.text(2),
          .deployment_id = query.text(3),
          .model = query.text(4),
          .requests = count(5),
          .aborted = count(6),
          .failed = count(7),
          .estimated = count(8),
          .prompt_tokens = count(9),
          .cached_tokens = count(10),
          .completion_tokens = count(11)};
}

// Takes over the present row; the keys are another query's.
void read_record(const Query& query, Record& record) {
  record.kind = static_cast<Kind>(query.integer(0));
  record.id = query.view(1);
  record.organization = query.view(2);
  record.spec = query.view(3);
  record.status = query.view(4);
  record.version = static_cast<std::uint64_t>(query.integer(5));
  record.revision = static_cast<std::uint64_t>(query.integer(6));
  record.created_at = Timestamp{std::chrono::microseconds{query.integer(7)}};
}

}  // namespace

// A borrowed connection inside a read transaction, for one read.
class Readers::Snapshot {
 public:
  explicit Snapshot(Readers& readers) : readers_(readers), connection_(borrow(readers)) {
    begun_ = connection_->execute("BEGIN");
  }
  ~Snapshot() {
    if (begun_ == SQLITE_OK) connection_->execute("ROLLBACK");
    const std::lock_guard lock(readers_.mutex_);
    readers_.idle_.push_back(std::move(connection_));
    readers_.returned_.notify_one();
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  Result<void> begun() const {
    if (begun_ == SQLITE_OK) return {};
    return failure(begun_);
  }

  Result<std::optional<Record>> get(Kind kind, std::string_view id) {
    std::optional<Record> record;
    {
      Query query(*connection_, by_id, number(kind), id);
      const int outcome = query.step();
      if (outcome == SQLITE_DONE) return {std::nullopt};
      if (outcome != SQLITE_ROW) return failure(outcome);
      read_record(query, record.emplace());
    }
    Query query(*connection_, keys_of_id, number(kind), id);
    int outcome = SQLITE_DONE;
    while ((outcome = query.step()) == SQLITE_ROW) {
      record->keys.push_back({query.text(0), query.text(1)});
    }
    if (outcome != SQLITE_DONE) return failure(outcome);
    return record;
  }

  Result<std::vector<Record>> list(Kind kind, std::string_view organization) {
    if (organization.empty()) {
      Query query(*connection_, all_of_kind, number(kind));
      return read_all(query, kind);
    }
    Query query(*connection_, all_of_organization, number(kind), organization);
    return read_all(query, kind);
  }

  Result<void> each(const std::function<void(const Record&)>& take) {
    Query query(*connection_, all_there_is);
    Record record;  // whose texts keep their memory from row to row
    int outcome = SQLITE_DONE;
    while ((outcome = query.step()) == SQLITE_ROW) {
      read_record(query, record);
      take(record);
    }
    if (outcome != SQLITE_DONE) return failure(outcome);
    return {};
  }

  Result<std::optional<Record>> find(const UniqueKey& key) {
    std::optional<std::pair<Kind, std::string>> holder;
    {
      Query query(*connection_, "SELECT kind, id FROM unique_keys WHERE scope = ? AND key = ?",
                  key.scope, key.key);
      const int outcome = query.step();
      if (outcome == SQLITE_DONE) return {std::nullopt};
      if (outcome != SQLITE_ROW) return failure(outcome);
      holder.emplace(static_cast<Kind>(query.integer(0)), query.text(1));
    }
    return get(holder->first, holder->second);
  }

  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) {
    TRY_ASSIGN(const std::uint64_t present, meta("SELECT value FROM meta WHERE name = 'revision'"));
    TRY_ASSIGN(const std::uint64_t pruned_to,
               meta("SELECT value FROM meta WHERE name = 'tombstones_pruned_to'"));
    if (is_lost(revision, present, pruned_to)) {
      return Changes{.changes = {}, .revision = present, .lost = true};
    }
    Query query(*connection_,
                "SELECT kind, id, revision, 0 FROM resources WHERE revision > ?1 UNION ALL"
                " SELECT kind, id, revision, 1 FROM tombstones WHERE revision > ?1"
                " ORDER BY revision",
                revision);
    std::vector<Change> changes;
    int outcome = SQLITE_DONE;
    while ((outcome = query.step()) == SQLITE_ROW) {
      changes.push_back({.kind = static_cast<Kind>(query.integer(0)),
                         .id = query.text(1),
                         .revision = static_cast<std::uint64_t>(query.integer(2)),
                         .removed = query.integer(3) != 0});
      // One more than asked for tells that there is more; the first revision comes whole.
      if (changes.size() > limit && changes.back().revision != changes.front().revision) break;
    }
    if (outcome != SQLITE_DONE && outcome != SQLITE_ROW) return failure(outcome);
    return cut_changes(std::move(changes), present, limit);
  }

  Result<std::vector<UsageRow>> usage(const UsageQuery& wanted) {
    const auto flag = [](bool is_set) { return std::int64_t{is_set ? 1 : 0}; };
    Query query(*connection_, usage_sums, std::int64_t{wanted.period.count()},
                flag(wanted.is_by_organization), flag(wanted.is_by_token),
                flag(wanted.is_by_deployment), flag(wanted.is_by_model), seconds_of(wanted.from),
                seconds_of(wanted.to), wanted.organization, wanted.token_id, wanted.deployment_id,
                wanted.model, std::uint64_t{wanted.rows_max});
    std::vector<UsageRow> rows;
    int outcome = SQLITE_DONE;
    while ((outcome = query.step()) == SQLITE_ROW) rows.push_back(read_usage(query));
    if (outcome != SQLITE_DONE) return failure(outcome);
    return rows;
  }

 private:
  static std::unique_ptr<Connection> borrow(Readers& readers) {
    std::unique_lock lock(readers.mutex_);
    readers.returned_.wait(lock, [&readers] { return !readers.idle_.empty(); });
    std::unique_ptr<Connection> connection = std::move(readers.idle_.back());
    readers.idle_.pop_back();
    return connection;
  }

  Result<std::vector<Record>> read_all(Query& query, Kind kind) {
    std::vector<Record> records;
    int outcome = SQLITE_DONE;
    while ((outcome = query.step()) == SQLITE_ROW) read_record(query, records.emplace_back());
    if (outcome != SQLITE_DONE) return failure(outcome);
    if (records.empty()) return records;
    std::unordered_map<std::string_view, Record*> record_of;
    record_of.reserve(records.size());
    for (Record& record : records) record_of.emplace(record.id, &record);
    Query keys(*connection_, keys_of_kind, number(kind));
    while ((outcome = keys.step()) == SQLITE_ROW) {
      const auto holder = record_of.find(keys.view(0));
      if (holder == record_of.end()) continue;  // of another organization
      holder->second->keys.push_back({keys.text(1), keys.text(2)});
    }
    if (outcome != SQLITE_DONE) return failure(outcome);
    return records;
  }

  Result<std::uint64_t> meta(std::string_view sql) {
    Query query(*connection_, sql);
    const int outcome = query.step();
    if (outcome != SQLITE_ROW) return failure(outcome);
    return static_cast<std::uint64_t>(query.integer(0));
  }

  Error failure(int outcome) const {
    readers_.log_.error("the store cannot read",
                        {{"code", outcome}, {"cause", connection_->message()}});
    return errors::unreadable();
  }

  Readers& readers_;
  std::unique_ptr<Connection> connection_;
  int begun_ = SQLITE_OK;
};

Result<std::unique_ptr<Readers>> Readers::open(const std::string& path, std::size_t count,
                                               const Log& log) {
  std::unique_ptr<Readers> readers(new Readers(log));
  for (std::size_t i = 0; i < std::max<std::size_t>(count, 1); ++i) {
    auto connection = Connection::open(path, Connection::Access::read_only);
    if (!connection) {
      return open_errors::unusable(path, SQLITE_CANTOPEN, connection.error().message);
    }
    readers->idle_.push_back(std::move(connection).value());
  }
  return readers;
}

Result<std::optional<Record>> Readers::get(Kind kind, std::string_view id) {
  Snapshot snapshot(*this);
  TRY(snapshot.begun());
  return snapshot.get(kind, id);
}

Result<std::vector<Record>> Readers::list(Kind kind, std::string_view organization) {
  Snapshot snapshot(*this);
  TRY(snapshot.begun());
  return snapshot.list(kind, organization);
}

Result<void> Readers::each(const std::function<void(const Record&)>& take) {
  Snapshot snapshot(*this);
  TRY(snapshot.begun());
  return snapshot.each(take);
}

Result<std::optional<Record>> Readers::find(const UniqueKey& key) {
  Snapshot snapshot(*this);
  TRY(snapshot.begun());
  return snapshot.find(key);
}

Result<Changes> Readers::changes_since(std::uint64_t revision, std::size_t limit) {
  Snapshot snapshot(*this);
  TRY(snapshot.begun());
  return snapshot.changes_since(revision, limit);
}

Result<std::vector<UsageRow>> Readers::usage(const UsageQuery& query) {
  Snapshot snapshot(*this);
  TRY(snapshot.begun());
  return snapshot.usage(query);
}

}  // namespace staithe::store
