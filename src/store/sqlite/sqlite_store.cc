#include "store/sqlite/sqlite_store.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/thread.h"
#include "base/unique_fd.h"
#include "store/errors.h"
#include "store/record_cache.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/open_errors.h"
#include "store/sqlite/readers.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/writer.h"
#include "store/subscribers.h"

namespace staithe::store {
namespace {

struct StoreMetrics {
  explicit StoreMetrics(Metrics& metrics)
      : committed(metrics.counter("staithe_store_transactions_total", transactions_help,
                                  {{"result", "committed"}})),
        refused(metrics.counter("staithe_store_transactions_total", transactions_help,
                                {{"result", "refused"}})),
        failed(metrics.counter("staithe_store_transactions_total", transactions_help,
                               {{"result", "failed"}})),
        flushes(metrics.counter("staithe_store_flushes_total",
                                "Commits of the database, each shared by one or more "
                                "transactions.")),
        queue_length(
            metrics.gauge("staithe_store_queue_length", "Transactions that wait for the writer.")),
        batch_seconds(metrics.histogram("staithe_store_batch_seconds",
                                        "How long the database took for a batch of "
                                        "transactions.")) {}

  static constexpr std::string_view transactions_help = "Transactions by how they ended.";
  Counter& committed;
  Counter& refused;
  Counter& failed;
  Counter& flushes;
  Gauge& queue_length;
  Histogram& batch_seconds;
};

class SqliteStore final : public Store {
 public:
  SqliteStore(std::optional<Ownership> ownership, std::unique_ptr<Writer> writer,
              std::unique_ptr<Readers> readers, const SqliteOptions& options, const Clock& clock)
      : options_(options),
        clock_(clock),
        metrics_(options.metrics != nullptr ? *options.metrics : own_metrics_),
        ownership_(std::move(ownership)),
        writer_(std::move(writer)),
        readers_(std::move(readers)),
        cache_(options.cached_records_max),
        thread_("store-writer", [this] { run(); }) {}

  // What is queued is still committed.
  ~SqliteStore() override {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  Result<std::optional<Record>> get(Kind kind, std::string_view id) override {
    if (!is_cached(kind)) return readers_->get(kind, id);
    const std::uint64_t generation = cache_.generation();
    TRY_ASSIGN(std::optional<Record> record, readers_->get(kind, id));
    if (record) cache_.keep(*record, generation);
    return record;
  }
  std::shared_ptr<const Record> peek(Kind kind, std::string_view id) override {
    return is_cached(kind) ? cache_.find(kind, id) : nullptr;
  }
  Result<std::vector<Record>> list(Kind kind, std::string_view organization) override {
    return readers_->list(kind, organization);
  }
  Result<void> each(const std::function<void(const Record&)>& take) override {
    return readers_->each(take);
  }
  Result<std::optional<Record>> find(const UniqueKey& key) override { return readers_->find(key); }
  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    return readers_->changes_since(revision, limit);
  }
  Result<std::vector<UsageRow>> usage(const UsageQuery& query) override {
    return readers_->usage(query);
  }
  std::unique_ptr<Subscription> subscribe(std::function<void()> wake) override {
    return subscribers_.subscribe(std::move(wake));
  }

  void commit(Transaction transaction, CommitDone done) override {
    {
      const std::lock_guard lock(mutex_);
      if (queue_.size() < options_.queue_length_max) {
        queue_.push_back({std::move(transaction), std::move(done)});
        metrics_.queue_length.set(static_cast<std::int64_t>(queue_.size()));
        wake_.notify_one();
        return;
      }
    }
    metrics_.failed.add();
    done(errors::queue_full());
  }

 private:
  // Of what is read over and over, by an owner: nobody else writes that. Tokens may be written by a
  // tool beside it.
  bool is_cached(Kind kind) const {
    return options_.is_owner &&
           (kind == Kind::claim || kind == Kind::gateway || kind == Kind::deployment);
  }

  struct Pending {
    Transaction transaction;
    CommitDone done;
  };

  void run() {
    while (true) {
      std::vector<Pending> batch = next_batch();
      if (batch.empty()) return;
      commit_batch(std::move(batch));
    }
  }

  // Waits for work; nothing once the queue is empty for good.
  std::vector<Pending> next_batch() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return is_stopping_ || !queue_.empty(); });
    std::vector<Pending> batch;
    while (!queue_.empty() && batch.size() < std::max<std::size_t>(options_.batch_length_max, 1)) {
      batch.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    metrics_.queue_length.set(static_cast<std::int64_t>(queue_.size()));
    return batch;
  }

  void commit_batch(std::vector<Pending> batch) {
    std::vector<const Transaction*> transactions;
    transactions.reserve(batch.size());
    for (const Pending& pending : batch) transactions.push_back(&pending.transaction);

    const Instant start = clock_.instant();
    Writer::Outcome outcome = writer_->commit(transactions);
    metrics_.batch_seconds.observe(std::chrono::duration<double>(clock_.instant() - start).count());
    CHECK(outcome.results.size() == batch.size());
    count(outcome);

    // Whatever became of it: what a failed database has written after all must not be contradicted.
    for (const Pending& pending : batch) cache_.forget(pending.transaction);
    for (std::size_t i = 0; i < batch.size(); ++i) batch[i].done(std::move(outcome.results[i]));
    if (outcome.has_flushed) subscribers_.wake_all();
  }

  void count(const Writer::Outcome& outcome) {
    if (outcome.has_flushed) metrics_.flushes.add();
    for (const Result<Commit>& result : outcome.results) {
      if (result) {
        metrics_.committed.add();
      } else if (result.error().code == Code::unavailable) {
        metrics_.failed.add();
      } else {
        metrics_.refused.add();
      }
    }
  }

  const SqliteOptions options_;
  const Clock& clock_;
  Metrics own_metrics_;  // where nobody asked for them
  StoreMetrics metrics_;
  const std::optional<Ownership> ownership_;  // until all connections are closed
  const std::unique_ptr<Writer> writer_;
  const std::unique_ptr<Readers> readers_;
  Subscribers subscribers_;
  RecordCache cache_;

  std::mutex mutex_;  // guards the queue and is_stopping_
  std::condition_variable wake_;
  std::deque<Pending> queue_;
  bool is_stopping_ = false;
  Thread thread_;  // last: it uses all of the above
};

Result<void> check_health(Connection& connection, const std::string& path) {
  Query query(connection, "PRAGMA quick_check(1)");
  const int outcome = query.step();
  if (outcome != SQLITE_ROW) return open_errors::unusable(path, outcome, connection.message());
  if (query.text(0) != "ok") return open_errors::damaged(path, query.text(0));
  return {};
}

Result<std::unique_ptr<Connection>> open_for_writing(const std::string& path,
                                                     const SqliteOptions& options) {
  auto opened = Connection::open(path, Connection::Access::read_write);
  if (!opened) return open_errors::unusable(path, SQLITE_CANTOPEN, opened.error().message);
  std::unique_ptr<Connection> connection = std::move(opened).value();

  // A commit is on disk when it returns (synchronous = FULL); the log shrinks again after a burst.
  {
    Query query(*connection, "PRAGMA journal_mode = WAL");
    const int outcome = query.step();
    if (outcome != SQLITE_ROW) {
      return open_errors::unusable(path, outcome, connection->message());
    }
    if (query.text(0) != "wal") return open_errors::no_write_ahead_log(path);
  }
  const int settings =
      connection->execute("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864");
  if (settings != SQLITE_OK) return open_errors::unusable(path, settings, connection->message());
  if (!options.is_owner) {
    TRY(require_latest_schema(*connection, migrations::all(), path));
    return connection;
  }
  // Nothing is migrated that was not looked through.
  if (options.check == Check::at_open ||
      !require_latest_schema(*connection, migrations::all(), path)) {
    TRY(check_health(*connection, path));
  }
  TRY(migrate(*connection, migrations::all(), path));
  return connection;
}

}  // namespace

Result<void> check_sqlite_database(const std::string& path) {
  auto opened = Connection::open(path, Connection::Access::read_only);
  if (!opened) return open_errors::unusable(path, SQLITE_CANTOPEN, opened.error().message);
  return check_health(**opened, path);
}

Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path,
                                                 const SqliteOptions& options, const Clock& clock,
                                                 const Log& log) {
  std::optional<Ownership> ownership;
  if (options.is_owner && options.ownership == nullptr) {
    TRY_ASSIGN(ownership, Ownership::take(path));
  }
  TRY_ASSIGN(auto connection, open_for_writing(path, options));
  TRY_ASSIGN(auto writer, Writer::start(std::move(connection), options.tombstones_max, path, log));
  TRY_ASSIGN(auto readers, Readers::open(path, options.reader_count, log));
  return {std::make_unique<SqliteStore>(std::move(ownership), std::move(writer), std::move(readers),
                                        options, clock)};
}

}  // namespace staithe::store
