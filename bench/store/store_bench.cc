#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/sqlite/sqlite_store.h"

// How many durable commits per second the SQLite store does for 1 and for 256 clients, each of
// which waits for its commit before the next. What the numbers mean depends on the disk under the
// directory given: on a file system in memory a flush costs nothing.
namespace {

using namespace staithe;

class Load {
 public:
  Load(store::Store& target, const Clock& clock, std::chrono::duration<double> length)
      : store_(target), clock_(clock), length_(length) {}

  double commits_per_second(int client_count) {
    start_ = clock_.instant();
    running_count_ = client_count;
    committed_count_ = 0;
    for (int client = 0; client < client_count; ++client) next(client);
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return running_count_ == 0; });
    return static_cast<double>(committed_count_) / elapsed().count();
  }

 private:
  std::chrono::duration<double> elapsed() const { return clock_.instant() - start_; }

  void next(int client) {
    const std::string id = fmt::format("r{}", next_id_++);
    // About as much as a deployment.
    store_.commit({store::Create{.kind = store::Kind::deployment,
                                 .id = id,
                                 .organization = "cw1a2b",
                                 .spec = std::string(600, 's'),
                                 .status = std::string(800, 't'),
                                 .created_at = clock_.now(),
                                 .keys = {{"name/deployment/cw1a2b", id}}}},
                  [this, client](const Result<store::Commit>& result) {
                    if (!result) {
                      std::fprintf(stderr, "%s\n", result.error().message.c_str());
                      std::exit(1);
                    }
                    ++committed_count_;
                    if (elapsed() < length_) return next(client);
                    const std::lock_guard lock(mutex_);
                    --running_count_;
                    ended_.notify_one();
                  });
  }

  store::Store& store_;
  const Clock& clock_;
  const std::chrono::duration<double> length_;
  Instant start_;
  std::atomic<std::uint64_t> next_id_{0};
  std::atomic<std::uint64_t> committed_count_{0};
  std::mutex mutex_;  // guards running_count_
  std::condition_variable ended_;
  int running_count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: %s DIRECTORY [SECONDS]\n", argv[0]);
    return 2;
  }
  const std::filesystem::path directory = std::filesystem::path(argv[1]) / "commit-bench";
  const std::chrono::duration<double> length(argc == 3 ? std::atof(argv[2]) : 3.0);
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  {
    const SystemClock clock;
    const Log log;
    Metrics metrics;
    auto opened =
        store::open_sqlite_store(directory / "staithe.db", {.metrics = &metrics}, clock, log);
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      return 1;
    }
    Counter& flushes = metrics.counter("staithe_store_flushes_total", "");
    Load load(**opened, clock, length);
    const double alone = load.commits_per_second(1);
    const std::uint64_t flushes_alone = flushes.value();
    const double together = load.commits_per_second(256);
    const double flushes_together =
        static_cast<double>(flushes.value() - flushes_alone) / length.count();
    fmt::print("durable commits/s, 1 client:    {:10.0f}\n", alone);
    fmt::print("durable commits/s, 256 clients: {:10.0f}  ({:.0f} flushes/s)\n", together,
               flushes_together);
    fmt::print("ratio:                          {:10.1f}\n", together / alone);
  }
  std::filesystem::remove_all(directory);
  return 0;
}
