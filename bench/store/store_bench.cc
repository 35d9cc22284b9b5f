// What the SQLite store costs, on the disk of a directory.
//
//   store_bench commits DIRECTORY [--seconds S] [--out FILE]
//   store_bench fill DIRECTORY [--claims N] [--gateways N] [--deployments N] [--public-url URL]
//
// commits: durable creates per second (synchronous = FULL) for 1 and for 256 clients, each of which
//   waits for its commit before it makes the next. The records are deployments as the service
//   writes them, with their name's unique key. What the numbers mean depends on the disk: on a file
//   system in memory a flush costs nothing.
// fill: the database of a large installation, for bench/store/run.py to start a server on.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/worker_pool.h"
#include "bench/must.h"
#include "bench/store/fill.h"
#include "service/lifecycle.h"
#include "store/records.h"
#include "store/sqlite/sqlite_store.h"

namespace staithe::bench {
namespace {

using Seconds = std::chrono::duration<double>;
constexpr std::size_t client_count_max = 256;

class Load {
 public:
  Load(store::Store& target, const Clock& clock, Seconds length)
      : store_(target), clock_(clock), length_(length) {}

  double creates_per_second(std::size_t client_count) {
    start_ = clock_.instant();
    running_count_ = client_count;
    created_count_ = 0;
    for (std::size_t client = 0; client < client_count; ++client) submit();
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return running_count_ == 0; });
    return static_cast<double>(created_count_) / elapsed().count();
  }

 private:
  Seconds elapsed() const { return clock_.instant() - start_; }

  void submit() {
    CHECK(workers_.submit([this] { create(); }));
  }

  void create() {
    model::Deployment deployment;
    deployment.spec.id = random_.uuid();
    deployment.spec.name = fmt::format("llama-{}", next_number_++);
    deployment.spec.organization_id = "cw1a2b";
    deployment.spec.gateway_ids = {"0b51fb2b-cd95-4ea2-9bd2-1d9f6e5a8b36"};
    deployment.spec.runtime.engine = "vllm";
    deployment.spec.runtime.version = "0.8.5";
    deployment.spec.runtime.engine_config = {{"max-model-len", "8192"}};
    deployment.spec.resources = {.instance_type = "gb200-4x", .gpu_count = 1};
    deployment.spec.model = {
        .name = "meta-llama/Llama-3.1-8B", .bucket = "models", .path = "llama-3.1-8b"};
    deployment.spec.autoscaling.min = 1;
    deployment.spec.autoscaling.max = 4;
    service::mark_created(deployment.status, clock_.now(), "Starting 1 replica.");
    store_.commit({store::create_step(deployment)}, [this](const Result<store::Commit>& result) {
      CHECK_THAT(result.has_value(), result ? "" : result.error().message);
      ++created_count_;
      if (elapsed() < length_) return submit();
      const std::lock_guard lock(mutex_);
      --running_count_;
      ended_.notify_one();
    });
  }

  store::Store& store_;
  const Clock& clock_;
  const Seconds length_;
  SystemRandom random_;
  Instant start_;
  std::atomic<std::uint64_t> next_number_{0};
  std::atomic<std::uint64_t> created_count_{0};
  std::mutex mutex_;  // guards running_count_
  std::condition_variable ended_;
  std::size_t running_count_ = 0;
  WorkerPool workers_{"client", 2, client_count_max};  // as the server's API has
};

void measure_commits(const std::filesystem::path& directory, Seconds length,
                     const std::string& out) {
  std::filesystem::create_directories(directory);
  const SystemClock clock;
  const Log log;
  Metrics metrics;
  const auto opened =
      must(store::open_sqlite_store(directory / "commits.db", {.metrics = &metrics}, clock, log));
  Counter& flushes = metrics.counter("staithe_store_flushes_total", "");
  Load load(*opened, clock, length);
  const double alone = load.creates_per_second(1);
  const std::uint64_t flushes_alone = flushes.value();
  const double together = load.creates_per_second(client_count_max);
  const double flushes_together =
      static_cast<double>(flushes.value() - flushes_alone) / length.count();
  fmt::print("durable creates/s, 1 client:    {:10.0f}\n", alone);
  fmt::print("durable creates/s, 256 clients: {:10.0f}  ({:.0f} flushes/s)\n", together,
             flushes_together);
  fmt::print("ratio:                          {:10.1f}\n", together / alone);
  if (out.empty()) return;
  std::ofstream(out) << nlohmann::ordered_json{{"creates_per_second_1_client", alone},
                                               {"creates_per_second_256_clients", together},
                                               {"flushes_per_second_256_clients", flushes_together},
                                               {"ratio", together / alone}}
                            .dump(2)
                     << '\n';
}

}  // namespace
}  // namespace staithe::bench

int main(int argc, char** argv) {
  std::string directory;
  std::string out;
  std::string organization = "cw1a2b";
  std::string public_url = "http://127.0.0.1:8080";
  double length_s = 3;
  staithe::bench::Mix mix;

  CLI::App app("What the store costs");
  app.require_subcommand(1);
  CLI::App& commits = *app.add_subcommand("commits", "durable creates per second");
  commits.add_option("directory", directory)->required();
  commits.add_option("--seconds", length_s);
  commits.add_option("--out", out);
  CLI::App& fill = *app.add_subcommand("fill", "the database of a large installation");
  fill.add_option("directory", directory)->required();
  fill.add_option("--claims", mix.claims);
  fill.add_option("--gateways", mix.gateways);
  fill.add_option("--deployments", mix.deployments);
  fill.add_option("--organization", organization);
  fill.add_option("--public-url", public_url);
  CLI11_PARSE(app, argc, argv);
  if (commits.parsed()) {
    staithe::bench::measure_commits(directory, staithe::bench::Seconds(length_s), out);
  } else {
    staithe::bench::fill(directory, mix, organization, public_url);
  }
  return 0;
}
