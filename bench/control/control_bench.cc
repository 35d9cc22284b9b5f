// What the control plane costs when nothing happens, and how soon it says so when something does.
//
//   control_bench DIRECTORY [--deployments N] [--idle-seconds S] [--changes N] [--mixed N]
//                 [--out FILE]
//
// The whole control plane of a server runs in this process, with the system's clock and a SQLite
// store under DIRECTORY; the engines are those of the fake driver, which are ready at once. 10,000
// deployments of one replica are brought to READY first, over a database in memory, which is then
// copied: what follows is a restart over machines that still run.
//
// - idle: CPU time of the process, by thread, and commits, while nobody calls; between two resyncs,
//   and what a resync adds.
// - latency: an update of the weight, which no replica has to be touched for, through the
// deployment
//   service; until its answer (durable), and until the store shows READY for that generation.
// - writes: creates, updates of the weight, of the engine's configuration (a roll-out) and of the
//   number of replicas, and deletes, from four clients; statuses written by the control plane per
//   status that tells a client something (status_counter.h says what that is).

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "bench/control/control_plane.h"
#include "bench/control/cpu_time.h"
#include "bench/scratch_store.h"

namespace staithe::bench {
namespace {

using model::Status;
using Seconds = std::chrono::duration<double>;

struct Options {
  std::string directory;
  std::size_t deployments = 10'000;
  double idle_s = 60;
  std::size_t changes = 200;
  std::size_t mixed = 400;
  std::string out;
};

constexpr std::size_t deployments_per_gateway = 100;
const char* const zones[] = {"US-EAST-04A", "US-WEST-04A", "EU-SOUTH-03B", "RNO2A"};

service::Caller caller() {
  return {.principal = {.organization = "cw1a2b", .role = auth::Role::admin}};
}

model::Catalogue make_catalogue() {
  model::Catalogue catalogue;
  catalogue.instance_types = {{"gb200-4x", 4}};
  for (const char* zone : zones) {
    catalogue.zones.emplace_back(zone);
    catalogue.zone_instance_types[zone] = {"gb200-4x"};
  }
  model::EngineOffer& vllm = catalogue.engines["vllm"];
  vllm.versions = {"0.8.5"};
  vllm.allowed_keys = {"max-model-len"};
  return catalogue;
}

// Room for all replicas and a quarter more.
void add_nodes(runtime::FakeDriver& driver, std::size_t replica_count) {
  for (std::size_t i = 0; i < replica_count / 4 + replica_count / 16 + 4; ++i) {
    driver.add_node({.id = fmt::format("node-{:05}", i),
                     .zone = zones[i % std::size(zones)],
                     .instance_type = "gb200-4x",
                     .gpu_count = 4});
  }
}

pb::CreateGatewayRequest gateway_request(std::size_t number) {
  pb::CreateGatewayRequest request;
  request.set_name(fmt::format("edge-{}", number));
  request.mutable_core_weave_auth();
  request.mutable_body_based_routing()->set_api_type(pb::BodyBasedRouting::API_TYPE_OPENAI);
  return request;
}

pb::CreateDeploymentRequest deployment_request(const std::string& gateway_id, std::size_t number) {
  pb::CreateDeploymentRequest request;
  request.set_name(fmt::format("llama-{}", number));
  request.add_gateway_ids(gateway_id);
  request.mutable_runtime()->set_engine("vllm");
  request.mutable_runtime()->set_version("0.8.5");
  (*request.mutable_runtime()->mutable_engine_config())["max-model-len"] = "8192";
  request.mutable_resources()->set_instance_type("gb200-4x");
  request.mutable_resources()->set_gpu_count(1);
  request.mutable_model()->set_name(fmt::format("meta-llama/Llama-3.1-8B-{}", number));
  request.mutable_model()->set_bucket("models");
  request.mutable_model()->set_path("llama-3.1-8b");
  request.mutable_autoscaling()->set_min(1);
  request.mutable_autoscaling()->set_max(1);
  request.mutable_traffic()->set_weight(100);
  return request;
}

// Calls a service and waits for its answer.
template <typename Service, typename Request, typename Response>
Response call(Service& service,
              void (Service::*method)(const service::Caller&, const Request&,
                                      service::Done<Response>),
              const Request& request) {
  std::promise<Result<Response>> answer;
  (service.*method)(caller(), request,
                    [&answer](Result<Response> result) { answer.set_value(std::move(result)); });
  return must(answer.get_future().get());
}

bool is_ready(store::Store& store, const model::Id& id) {
  const auto found = must(store::get_deployment(store, id));
  return found && found->value.status.status == Status::ready &&
         found->value.status.observed_generation == found->value.status.generation;
}

// The update that asks for what was created.
pb::UpdateDeploymentRequest update_of(const pb::CreateDeploymentRequest& create,
                                      const model::Id& id) {
  pb::UpdateDeploymentRequest update;
  CHECK(update.ParseFromString(create.SerializeAsString()));
  update.set_id(id);
  return update;
}

double percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values.at(std::min(values.size() - 1,
                            static_cast<std::size_t>(part * static_cast<double>(values.size()))));
}

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)), driver_(clock_) {}

  void run() {
    add_nodes(driver_, options_.deployments);
    std::filesystem::remove_all(options_.directory);
    std::filesystem::create_directories(options_.directory);
    ScratchStore scratch(clock_, log_);
    converge(scratch.store());
    const std::string path = options_.directory + "/staithe.db";
    std::move(scratch).move_to(path);
    opened_ = must(store::open_sqlite_store(path, {}, clock_, log_));
    const Instant start = clock_.instant();
    plane_.emplace(*opened_, clock_, random_, log_, driver_, catalogue_, reconcile::LoopOptions{});
    settle();
    report("restart_s", Seconds(clock_.instant() - start).count() - quiet_for.count());
    measure_idle();
    measure_latency();
    measure_writes();
    plane_.reset();
    if (!options_.out.empty()) std::ofstream(options_.out) << results_.dump(2) << '\n';
  }

 private:
  static constexpr Seconds quiet_for{2};

  void converge(store::Store& store) {
    const Instant start = clock_.instant();
    ControlPlane plane(store, clock_, random_, log_, driver_, catalogue_, {});
    std::string gateway_id;
    for (std::size_t i = 0; i < options_.deployments; ++i) {
      if (i % deployments_per_gateway == 0) {
        gateway_id = call(plane.gateways, &service::GatewayService::create,
                          gateway_request(i / deployments_per_gateway))
                         .gateway()
                         .spec()
                         .id();
      }
      requests_.push_back(deployment_request(gateway_id, i));
      ids_.push_back(call(plane.deployments, &service::DeploymentService::create, requests_.back())
                         .deployment()
                         .spec()
                         .id());
    }
    std::size_t ready_count = 0;
    plane.wait_until([this, &store, &ready_count] {
      while (ready_count < ids_.size() && is_ready(store, ids_[ready_count])) ++ready_count;
      return ready_count == ids_.size();
    });
    report("converge_in_memory_s", Seconds(clock_.instant() - start).count());
  }

  // Waits until the process did next to nothing for a while.
  void settle() {
    Seconds quiet{0};
    while (quiet < quiet_for) {
      const auto before = cpu();
      wait(std::chrono::milliseconds{100});
      quiet = cpu() - before < std::chrono::milliseconds{5} ? quiet + Seconds{0.1} : Seconds{0};
    }
  }

  // At rest as it is between two resyncs, then with resyncs close together, which tells what one
  // costs; the sum is what a server at rest uses with the intervals it has.
  void measure_idle() {
    const double between_percent = idle_percent("idle");
    reconcile::LoopOptions busier;
    const Seconds usual_interval = busier.resync_interval;
    constexpr int resync_count = 3;
    busier.resync_interval =
        std::chrono::duration_cast<Duration>(Seconds(options_.idle_s / resync_count));
    plane_.reset();
    plane_.emplace(*opened_, clock_, random_, log_, driver_, catalogue_, busier);
    // Its first resync comes with the start; the next ones are those measured.
    wait(std::chrono::seconds{5});
    const double with_resyncs_percent = idle_percent("resyncing");
    const double resync_s =
        (with_resyncs_percent - between_percent) / 100 * options_.idle_s / resync_count;
    report("resync_cpu_s", resync_s);
    report("idle_cpu_percent_with_resync",
           between_percent + 100 * resync_s / usual_interval.count());
    plane_.reset();
    plane_.emplace(*opened_, clock_, random_, log_, driver_, catalogue_, reconcile::LoopOptions{});
    settle();
  }

  double idle_percent(const std::string& name_of_phase) {
    const auto before = cpu_time_by_thread();
    const std::uint64_t commits_before = plane_->counter.commit_count();
    const std::uint64_t revision_before = must(opened_->changes_since(UINT64_MAX >> 1, 1)).revision;
    wait(Seconds(options_.idle_s));
    Seconds sum{0};
    for (const auto& [name, ran] : cpu_time_by_thread()) {
      const auto known = before.find(name);
      const Seconds used =
          ran - (known == before.end() ? std::chrono::nanoseconds{0} : known->second);
      sum += used;
      report(name_of_phase + "_cpu_percent_" + name, 100 * used.count() / options_.idle_s);
    }
    report(name_of_phase + "_cpu_percent", 100 * sum.count() / options_.idle_s);
    const std::uint64_t writes = must(opened_->changes_since(UINT64_MAX >> 1, 1)).revision -
                                 revision_before + plane_->counter.commit_count() - commits_before;
    report(name_of_phase + "_writes_per_minute",
           60 * static_cast<double>(writes) / options_.idle_s);
    return 100 * sum.count() / options_.idle_s;
  }

  void measure_latency() {
    std::vector<double> answered_ms;
    std::vector<double> visible_ms;
    for (std::size_t i = 0; i < options_.changes; ++i) {
      const std::size_t at = i * 7919 % ids_.size();
      requests_[at].mutable_traffic()->set_weight(static_cast<std::uint32_t>(101 + i));
      const Instant start = clock_.instant();
      call(plane_->deployments, &service::DeploymentService::update,
           update_of(requests_[at], ids_[at]));
      answered_ms.push_back(1000 * Seconds(clock_.instant() - start).count());
      plane_->wait_until([this, at] { return is_ready(*opened_, ids_[at]); });
      visible_ms.push_back(1000 * Seconds(clock_.instant() - start).count());
    }
    report("update_answered_ms_p50", percentile(answered_ms, 0.5));
    report("update_answered_ms_p99", percentile(answered_ms, 0.99));
    report("status_visible_ms_p50", percentile(visible_ms, 0.5));
    report("status_visible_ms_p99", percentile(visible_ms, 0.99));
  }

  void measure_writes() {
    constexpr std::size_t client_count = 4;
    const StatusCounter& counter = plane_->counter;
    const std::uint64_t writes_before = counter.status_write_count();
    const std::uint64_t telling_before = counter.telling_write_count();
    const Instant start = clock_.instant();
    {
      // The fake driver's time passes when somebody looks.
      std::promise<void> is_over;
      Thread time("driver-time", [this, over = is_over.get_future().share()] {
        while (over.wait_for(std::chrono::milliseconds{5}) == std::future_status::timeout) {
          driver_.settle();
        }
      });
      {
        std::vector<Thread> clients;
        for (std::size_t client = 0; client < client_count; ++client) {
          clients.emplace_back("client", [this, client] {
            for (std::size_t i = client; i < options_.mixed; i += client_count) change(i);
          });
        }
      }
      is_over.set_value();
    }
    const auto writes = static_cast<double>(counter.status_write_count() - writes_before);
    const auto telling = static_cast<double>(counter.telling_write_count() - telling_before);
    report("mixed_s", Seconds(clock_.instant() - start).count());
    report("mixed_calls", static_cast<double>(options_.mixed));
    report("mixed_status_writes", writes);
    report("mixed_telling_writes", telling);
    report("status_writes_per_change", writes / telling);
  }

  // The i-th call of the mixed load, until it is done as a whole. Each is to a deployment of its
  // own.
  void change(std::size_t i) {
    const std::size_t at = (i * 7919 + 13) % ids_.size();
    pb::CreateDeploymentRequest request = requests_[at];
    switch (i % 5) {
      case 0: {
        request.set_name(fmt::format("new-{}", i));
        request.mutable_model()->set_name(fmt::format("new/{}", i));
        const model::Id id = call(plane_->deployments, &service::DeploymentService::create, request)
                                 .deployment()
                                 .spec()
                                 .id();
        return plane_->wait_until([this, id] { return is_ready(*opened_, id); });
      }
      case 1:
        request.mutable_traffic()->set_weight(7);
        break;
      case 2:
        (*request.mutable_runtime()->mutable_engine_config())["max-model-len"] = "4096";
        break;
      case 3:
        request.mutable_autoscaling()->set_min(3);
        request.mutable_autoscaling()->set_max(3);
        break;
      default: {
        pb::DeleteDeploymentRequest removal;
        removal.set_id(ids_[at]);
        call(plane_->deployments, &service::DeploymentService::remove, removal);
        return plane_->wait_until(
            [this, at] { return !must(store::get_deployment(*opened_, ids_[at])).has_value(); });
      }
    }
    call(plane_->deployments, &service::DeploymentService::update, update_of(request, ids_[at]));
    plane_->wait_until([this, at] { return is_ready(*opened_, ids_[at]); });
  }

  static Seconds cpu() {
    Seconds sum{0};
    for (const auto& [name, ran] : cpu_time_by_thread()) sum += ran;
    return sum;
  }
  static void wait(Seconds time) {
    std::promise<void> never;
    never.get_future().wait_for(time);
  }
  void report(const std::string& name, double value) {
    results_[name] = value;
    fmt::print("{:32} {:12.3f}\n", name, value);
    std::fflush(stdout);
  }

  const Options options_;
  SystemClock clock_;
  SystemRandom random_;
  Log log_{2, LogLevel::warning};
  runtime::FakeDriver driver_;
  const model::Catalogue catalogue_ = make_catalogue();
  std::vector<model::Id> ids_;
  std::vector<pb::CreateDeploymentRequest> requests_;  // of ids_, as last asked for
  std::unique_ptr<store::Store> opened_;
  std::optional<ControlPlane> plane_;  // over opened_
  nlohmann::ordered_json results_;
};

}  // namespace
}  // namespace staithe::bench

int main(int argc, char** argv) {
  staithe::bench::Options options;
  CLI::App app("What the control plane costs");
  app.add_option("directory", options.directory)->required();
  app.add_option("--deployments", options.deployments);
  app.add_option("--idle-seconds", options.idle_s);
  app.add_option("--changes", options.changes);
  app.add_option("--mixed", options.mixed);
  app.add_option("--out", options.out);
  CLI11_PARSE(app, argc, argv);
  staithe::bench::Bench(std::move(options)).run();
  return 0;
}
