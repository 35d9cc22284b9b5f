#include "store/memory/memory_store.h"

#include <algorithm>
#include <tuple>

#include "store/change_window.h"
#include "store/errors.h"

namespace staithe::store {

// What a transaction would change, looked up before the store itself. Dropping it undoes all.
class MemoryStore::Draft {
 public:
  explicit Draft(const MemoryStore& store) : store_(store) {}

  Result<void> apply(const Create& step) {
    if (find(step.kind, step.id) != nullptr) return errors::id_taken(step.kind, step.id);
    Record record{.kind = step.kind,
                  .id = step.id,
                  .organization = step.organization,
                  .spec = step.spec,
                  .status = step.status,
                  .version = 1,
                  .revision = store_.revision_ + 1,
                  .created_at = step.created_at,
                  .keys = {}};
    TRY(replace_keys(record, step.keys));
    records[{step.kind, step.id}] = std::move(record);
    return {};
  }

  Result<void> apply(const Update& step) {
    TRY_ASSIGN(Record record, at_version(step.kind, step.id, step.version));
    if (step.spec) record.spec = *step.spec;
    if (step.status) record.status = *step.status;
    if (step.keys) TRY(replace_keys(record, *step.keys));
    ++record.version;
    record.revision = store_.revision_ + 1;
    records[{step.kind, step.id}] = std::move(record);
    return {};
  }

  Result<void> apply(const Remove& step) {
    TRY_ASSIGN(Record record, at_version(step.kind, step.id, step.version));
    TRY(replace_keys(record, {}));
    records[{step.kind, step.id}] = std::nullopt;
    return {};
  }

  Result<void> apply(const Expect& step) {
    TRY(at_version(step.kind, step.id, step.version));
    return {};
  }

  Result<void> apply(const AddUsage& step) {
    usage.insert(usage.end(), step.rows.begin(), step.rows.end());
    return {};
  }

  std::map<RecordId, std::optional<Record>> records;     // nothing: removed
  std::map<UniqueKey, std::optional<RecordId>> holders;  // nothing: given up
  std::vector<UsageRow> usage;

 private:
  const Record* find(Kind kind, const std::string& id) const {
    const RecordId key{kind, id};
    if (const auto drafted = records.find(key); drafted != records.end()) {
      return drafted->second ? &*drafted->second : nullptr;
    }
    const auto stored = store_.records_.find(key);
    return stored == store_.records_.end() ? nullptr : &stored->second;
  }

  Result<Record> at_version(Kind kind, const std::string& id, std::uint64_t version) const {
    const Record* record = find(kind, id);
    if (record == nullptr || record->version != version) return errors::version_changed(kind, id);
    return *record;
  }

  std::optional<RecordId> holder(const UniqueKey& key) const {
    if (const auto drafted = holders.find(key); drafted != holders.end()) return drafted->second;
    const auto stored = store_.holders_.find(key);
    if (stored == store_.holders_.end()) return std::nullopt;
    return stored->second;
  }

  Result<void> replace_keys(Record& record, std::vector<UniqueKey> keys) {
    for (const UniqueKey& key : record.keys) holders[key] = std::nullopt;
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (const UniqueKey& key : keys) {
      if (const auto other = holder(key)) {
        return errors::key_taken(key, other->first, other->second);
      }
      holders[key] = RecordId{record.kind, record.id};
    }
    record.keys = std::move(keys);
    return {};
  }

  const MemoryStore& store_;
};

Result<std::optional<Record>> MemoryStore::get(Kind kind, std::string_view id) {
  const std::lock_guard lock(mutex_);
  const auto found = records_.find({kind, std::string(id)});
  if (found == records_.end()) return {std::nullopt};
  return {found->second};
}

Result<std::vector<Record>> MemoryStore::list(Kind kind, std::string_view organization) {
  std::vector<Record> found;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, record] : records_) {
      const bool is_wanted = organization.empty() || record.organization == organization;
      if (id.first == kind && is_wanted) found.push_back(record);
    }
  }
  std::sort(found.begin(), found.end(), [](const Record& left, const Record& right) {
    return std::tie(left.created_at, left.id) < std::tie(right.created_at, right.id);
  });
  return found;
}

Result<std::optional<Record>> MemoryStore::find(const UniqueKey& key) {
  const std::lock_guard lock(mutex_);
  const auto holder = holders_.find(key);
  if (holder == holders_.end()) return {std::nullopt};
  return {records_.at(holder->second)};
}

void MemoryStore::commit(Transaction transaction, CommitDone done) {
  Result<Commit> outcome = apply(transaction);
  const bool has_committed = outcome.has_value();
  done(std::move(outcome));
  if (has_committed) subscribers_.wake_all();
}

Result<Commit> MemoryStore::apply(const Transaction& transaction) {
  const std::lock_guard lock(mutex_);
  Draft draft(*this);
  for (const Step& step : transaction) {
    TRY(std::visit([&draft](const auto& concrete) { return draft.apply(concrete); }, step));
  }
  if (!draft.records.empty() || !draft.usage.empty()) take_over(draft);
  return Commit{revision_};
}

void MemoryStore::take_over(const Draft& draft) {
  ++revision_;
  usage_.insert(usage_.end(), draft.usage.begin(), draft.usage.end());
  for (const auto& [id, record] : draft.records) {
    if (record) {
      records_[id] = *record;
      tombstones_.erase(id);
    } else if (records_.erase(id) > 0) {
      tombstones_[id] = revision_;
    }
  }
  for (const auto& [key, holder] : draft.holders) {
    if (holder) {
      holders_[key] = *holder;
    } else {
      holders_.erase(key);
    }
  }
  while (tombstones_.size() > tombstones_max_) {
    const auto oldest = std::min_element(
        tombstones_.begin(), tombstones_.end(),
        [](const auto& left, const auto& right) { return left.second < right.second; });
    pruned_to_ = oldest->second;
    tombstones_.erase(oldest);
  }
}

Result<Changes> MemoryStore::changes_since(std::uint64_t revision, std::size_t limit) {
  const std::lock_guard lock(mutex_);
  if (is_lost(revision, revision_, pruned_to_)) {
    return Changes{.changes = {}, .revision = revision_, .lost = true};
  }
  std::vector<Change> changes;
  for (const auto& [id, record] : records_) {
    if (record.revision > revision)
      changes.push_back({id.first, id.second, record.revision, false});
  }
  for (const auto& [id, removed_at] : tombstones_) {
    if (removed_at > revision) changes.push_back({id.first, id.second, removed_at, true});
  }
  std::stable_sort(changes.begin(), changes.end(), [](const Change& left, const Change& right) {
    return left.revision < right.revision;
  });
  return cut_changes(std::move(changes), revision_, limit);
}

std::unique_ptr<Store::Subscription> MemoryStore::subscribe(std::function<void()> wake) {
  return subscribers_.subscribe(std::move(wake));
}

Result<std::vector<UsageRow>> MemoryStore::usage(const UsageQuery& query) {
  const auto is_wanted = [](const std::string& wanted, const std::string& value) {
    return wanted.empty() || wanted == value;
  };
  using Key = std::tuple<Timestamp, std::string, std::string, std::string, std::string>;
  std::map<Key, UsageRow> sums;
  const std::lock_guard lock(mutex_);
  for (const UsageRow& row : usage_) {
    if (row.hour < query.from || row.hour >= query.to) continue;
    if (!is_wanted(query.organization, row.organization)) continue;
    if (!is_wanted(query.token_id, row.token_id)) continue;
    if (!is_wanted(query.deployment_id, row.deployment_id)) continue;
    if (!is_wanted(query.model, row.model)) continue;
    UsageRow key;
    if (query.period.count() > 0) {
      key.hour = row.hour - row.hour.time_since_epoch() % query.period;
    }
    if (query.is_by_organization) key.organization = row.organization;
    if (query.is_by_token) key.token_id = row.token_id;
    if (query.is_by_deployment) key.deployment_id = row.deployment_id;
    if (query.is_by_model) key.model = row.model;
    UsageRow& sum =
        sums.try_emplace({key.hour, key.organization, key.token_id, key.deployment_id, key.model},
                         key)
            .first->second;
    sum.requests += row.requests;
    sum.aborted += row.aborted;
    sum.failed += row.failed;
    sum.estimated += row.estimated;
    sum.prompt_tokens += row.prompt_tokens;
    sum.cached_tokens += row.cached_tokens;
    sum.completion_tokens += row.completion_tokens;
  }
  std::vector<UsageRow> rows;
  for (auto& [key, sum] : sums) {
    if (rows.size() >= query.rows_max) break;
    rows.push_back(std::move(sum));
  }
  return rows;
}

}  // namespace staithe::store
