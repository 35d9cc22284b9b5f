#include "store/sqlite/writer.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "base/check.h"
#include "store/errors.h"
#include "store/sqlite/open_errors.h"

namespace staithe::store {
namespace {

bool is_uniqueness_violation(int outcome) {
  return outcome == SQLITE_CONSTRAINT_PRIMARYKEY || outcome == SQLITE_CONSTRAINT_UNIQUE;
}

bool writes(const Transaction& transaction) {
  return std::any_of(transaction.begin(), transaction.end(),
                     [](const Step& step) { return !std::holds_alternative<Expect>(step); });
}

std::int64_t number(Kind kind) {
  return static_cast<std::int64_t>(kind);
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::start(std::unique_ptr<Connection> connection,
                                              std::size_t tombstones_max, const std::string& path,
                                              const Log& log) {
  std::unique_ptr<Writer> writer(new Writer(std::move(connection), tombstones_max, log));
  const int outcome = writer->catch_up();
  if (outcome != SQLITE_OK) {
    return open_errors::unusable(path, outcome, writer->connection_->message());
  }
  return writer;
}

int Writer::catch_up() {
  std::int64_t data_version = 0;
  {
    Query query(*connection_, "PRAGMA data_version");
    const int outcome = query.step();
    if (outcome != SQLITE_ROW) return outcome;
    data_version = query.integer(0);
  }
  if (data_version == data_version_) return SQLITE_OK;
  Query query(*connection_,
              "SELECT (SELECT value FROM meta WHERE name = 'revision'),"
              " (SELECT value FROM meta WHERE name = 'tombstones_pruned_to'),"
              " (SELECT count(*) FROM tombstones)");
  const int outcome = query.step();
  if (outcome != SQLITE_ROW) return outcome;
  state_ = {.revision = static_cast<std::uint64_t>(query.integer(0)),
            .tombstones_pruned_to = static_cast<std::uint64_t>(query.integer(1)),
            .tombstone_count = static_cast<std::uint64_t>(query.integer(2))};
  data_version_ = data_version;
  return SQLITE_OK;
}

Writer::Outcome Writer::commit(std::span<const Transaction* const> batch) {
  Result<void> ended = begin();
  const State before = state_;
  if (ended) {
    auto results = apply_all(batch);
    const bool has_written = state_ != before;
    if (results) {
      ended = execute(has_written ? "COMMIT" : "ROLLBACK");
      if (ended) return {std::move(results).value(), has_written};
    }
  }
  // Some failures have rolled back by themselves, and then this one fails; either way nothing
  // stays.
  connection_->execute("ROLLBACK");
  state_ = before;
  Outcome outcome;
  for (std::size_t i = 0; i < batch.size(); ++i) outcome.results.push_back(errors::unavailable());
  return outcome;
}

Result<void> Writer::begin() {
  TRY(execute("BEGIN IMMEDIATE"));
  const int outcome = catch_up();
  if (outcome != SQLITE_OK) return failure("read the revision", outcome);
  return {};
}

Result<std::vector<Result<Commit>>> Writer::apply_all(std::span<const Transaction* const> batch) {
  const State before = state_;
  std::vector<Result<Commit>> results;
  results.reserve(batch.size());
  for (const Transaction* transaction : batch) {
    Result<Commit> result = apply(*transaction);
    if (!result && result.error().code == Code::unavailable) return std::move(result).error();
    results.push_back(std::move(result));
  }
  if (state_ != before) {
    TRY(prune_tombstones());
    TRY(save_state());
  }
  return results;
}

Result<Commit> Writer::apply(const Transaction& transaction) {
  const State before = state_;
  TRY(execute("SAVEPOINT one_transaction"));
  const std::uint64_t revision = writes(transaction) ? state_.revision + 1 : state_.revision;
  if (Result<void> applied = apply_steps(transaction, revision); !applied) {
    state_ = before;
    if (applied.error().code != Code::unavailable) {
      TRY(execute("ROLLBACK TO one_transaction"));
      TRY(execute("RELEASE one_transaction"));
    }
    return std::move(applied).error();
  }
  TRY(execute("RELEASE one_transaction"));
  state_.revision = revision;
  return Commit{revision};
}

Result<void> Writer::apply_steps(const Transaction& transaction, std::uint64_t revision) {
  for (const Step& step : transaction) {
    TRY(std::visit(
        [this, revision](const auto& concrete) { return apply_step(concrete, revision); }, step));
  }
  return {};
}

Result<void> Writer::apply_step(const Create& step, std::uint64_t revision) {
  {
    Query insert(*connection_, "INSERT INTO resources VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
                 number(step.kind), step.id, step.organization, step.spec, step.status, revision,
                 std::int64_t{step.created_at.time_since_epoch().count()});
    const int outcome = insert.step();
    if (is_uniqueness_violation(outcome)) return errors::id_taken(step.kind, step.id);
    if (outcome != SQLITE_DONE) return failure("create a record", outcome);
  }
  {
    Query forget(*connection_, "DELETE FROM tombstones WHERE kind = ? AND id = ?",
                 number(step.kind), step.id);
    const int outcome = forget.step();
    if (outcome != SQLITE_DONE) return failure("forget a removal", outcome);
    state_.tombstone_count -= static_cast<std::uint64_t>(connection_->changed_count());
  }
  return take_keys(step.kind, step.id, step.keys);
}

Result<void> Writer::apply_step(const Update& step, std::uint64_t revision) {
  {
    Query update(*connection_,
                 "UPDATE resources SET spec = coalesce(?, spec), status = coalesce(?, status),"
                 " version = version + 1, revision = ? WHERE kind = ? AND id = ? AND version = ?",
                 step.spec, step.status, revision, number(step.kind), step.id, step.version);
    const int outcome = update.step();
    if (outcome != SQLITE_DONE) return failure("update a record", outcome);
    if (connection_->changed_count() == 0) return errors::version_changed(step.kind, step.id);
  }
  if (!step.keys) return {};
  {
    Query release(*connection_, "DELETE FROM unique_keys WHERE kind = ? AND id = ?",
                  number(step.kind), step.id);
    const int outcome = release.step();
    if (outcome != SQLITE_DONE) return failure("release keys", outcome);
  }
  return take_keys(step.kind, step.id, *step.keys);
}

Result<void> Writer::apply_step(const Remove& step, std::uint64_t revision) {
  {
    // Its keys go with it, by the foreign key.
    Query remove(*connection_, "DELETE FROM resources WHERE kind = ? AND id = ? AND version = ?",
                 number(step.kind), step.id, step.version);
    const int outcome = remove.step();
    if (outcome != SQLITE_DONE) return failure("remove a record", outcome);
    if (connection_->changed_count() == 0) return errors::version_changed(step.kind, step.id);
  }
  Query bury(*connection_, "INSERT INTO tombstones VALUES (?, ?, ?)", number(step.kind), step.id,
             revision);
  const int outcome = bury.step();
  if (outcome != SQLITE_DONE) return failure("note a removal", outcome);
  ++state_.tombstone_count;
  return {};
}

Result<void> Writer::apply_step(const Expect& step, std::uint64_t) {
  Query query(*connection_, "SELECT 1 FROM resources WHERE kind = ? AND id = ? AND version = ?",
              number(step.kind), step.id, step.version);
  const int outcome = query.step();
  if (outcome == SQLITE_ROW) return {};
  if (outcome == SQLITE_DONE) return errors::version_changed(step.kind, step.id);
  return failure("check a version", outcome);
}

Result<void> Writer::apply_step(const AddUsage& step, std::uint64_t) {
  for (const UsageRow& row : step.rows) {
    const std::int64_t hour =
        std::chrono::floor<std::chrono::seconds>(row.hour).time_since_epoch().count();
    Query add(*connection_,
              "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
              " ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,"
              " aborted = aborted + excluded.aborted, failed = failed + excluded.failed,"
              " estimated = estimated + excluded.estimated,"
              " prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
              " cached_tokens = cached_tokens + excluded.cached_tokens,"
              " completion_tokens = completion_tokens + excluded.completion_tokens",
              row.organization, hour, row.token_id, row.deployment_id, row.model, row.requests,
              row.aborted, row.failed, row.estimated, row.prompt_tokens, row.cached_tokens,
              row.completion_tokens);
    const int outcome = add.step();
    if (outcome != SQLITE_DONE) return failure("add usage", outcome);
  }
  return {};
}

Result<void> Writer::take_keys(Kind kind, const std::string& id, std::vector<UniqueKey> keys) {
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  for (const UniqueKey& key : keys) {
    Query insert(*connection_, "INSERT INTO unique_keys VALUES (?, ?, ?, ?)", key.scope, key.key,
                 number(kind), id);
    const int outcome = insert.step();
    if (is_uniqueness_violation(outcome)) return key_taken(key);
    if (outcome != SQLITE_DONE) return failure("take a key", outcome);
  }
  return {};
}

Error Writer::key_taken(const UniqueKey& key) {
  Query query(*connection_, "SELECT kind, id FROM unique_keys WHERE scope = ? AND key = ?",
              key.scope, key.key);
  const int outcome = query.step();
  if (outcome != SQLITE_ROW) return failure("find the holder of a key", outcome);
  return errors::key_taken(key, static_cast<Kind>(query.integer(0)), query.text(1));
}

Result<void> Writer::prune_tombstones() {
  if (state_.tombstone_count <= tombstones_max_) return {};
  const std::uint64_t excess_count = state_.tombstone_count - tombstones_max_;
  std::uint64_t prune_to = 0;
  {
    Query query(*connection_, "SELECT revision FROM tombstones ORDER BY revision LIMIT 1 OFFSET ?",
                excess_count - 1);
    const int outcome = query.step();
    if (outcome != SQLITE_ROW) return failure("find old removals", outcome);
    prune_to = static_cast<std::uint64_t>(query.integer(0));
  }
  // A transaction's removals are forgotten together.
  Query prune(*connection_, "DELETE FROM tombstones WHERE revision <= ?", prune_to);
  const int outcome = prune.step();
  if (outcome != SQLITE_DONE) return failure("prune old removals", outcome);
  state_.tombstone_count -= static_cast<std::uint64_t>(connection_->changed_count());
  state_.tombstones_pruned_to = prune_to;
  return {};
}

Result<void> Writer::save_state() {
  const std::pair<std::string_view, std::uint64_t> rows[] = {
      {"revision", state_.revision}, {"tombstones_pruned_to", state_.tombstones_pruned_to}};
  for (const auto& [name, value] : rows) {
    Query query(*connection_, "UPDATE meta SET value = ?1 WHERE name = ?2 AND value <> ?1", value,
                name);
    const int outcome = query.step();
    if (outcome != SQLITE_DONE) return failure("save the revision", outcome);
  }
  return {};
}

Result<void> Writer::execute(std::string_view sql) {
  Query query(*connection_, sql);
  const int outcome = query.step();
  if (outcome == SQLITE_DONE) return {};
  return failure(sql, outcome);
}

Error Writer::failure(std::string_view doing, int outcome) {
  log_.error("the store cannot write",
             {{"doing", doing}, {"code", outcome}, {"cause", connection_->message()}});
  return errors::unavailable();
}

}  // namespace staithe::store
