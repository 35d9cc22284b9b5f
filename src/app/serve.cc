#include "app/serve.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "app/api_routes.h"
#include "app/control_plane.h"
#include "app/default_catalogue.h"
#include "app/descriptor_limit.h"
#include "app/feeds.h"
#include "app/first_token.h"
#include "app/front.h"
#include "app/gateway_options.h"
#include "app/otlp_exporter.h"
#include "app/served_ports.h"
#include "app/stop_signal.h"
#include "app/takeover.h"
#include "app/tls_reload.h"
#include "app/usage_writer.h"
#include "app/wandb_client.h"
#include "auth/token_record.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "base/worker_pool.h"
#include "gateway/gateway.h"
#include "net/http_server.h"
#include "reconcile/loop.h"
#include "runtime/engine_catalogue.h"
#include "runtime/local/local_driver.h"
#include "store/sqlite/sqlite_store.h"
#include "wire/api_handler.h"
#include "wire/health.h"
#include "wire/reflection.h"

namespace staithe::app {
namespace {

constexpr std::size_t api_queue_length_max = 4096;
// Threads that wait for machines, most of the time for nothing at all.
constexpr std::size_t driver_calls_max = 16;
constexpr std::size_t driver_calls_queued_max = 4096;
// On the way in: for engines that run to be found ready, which some may not be for long.
constexpr std::chrono::milliseconds routes_wait_max{2'000};
// On the way out: for calls of the API to end, and for whoever comes next to read everything.
constexpr std::chrono::milliseconds api_drain_max{5'000};
constexpr std::chrono::milliseconds successor_start_max{60'000};

LogLevel log_level_of(const Config& config) {
  if (config.log_level == "debug") return LogLevel::debug;
  if (config.log_level == "warning") return LogLevel::warning;
  if (config.log_level == "error") return LogLevel::error;
  return LogLevel::info;
}

service::ServiceOptions service_options(const Config& config, const std::string& base_url) {
  service::ServiceOptions options;
  options.endpoints.base_url = base_url;
  options.endpoints.scheme = base_url.substr(0, base_url.find(':'));
  options.endpoints.domain = config.domain;
  options.quotas.standard.claims = config.claims_max;
  options.quotas.standard.claimed_instances = config.claim_instances_max;
  options.quotas.standard.gateways = config.gateways_max;
  options.quotas.standard.deployments = config.deployments_max;
  options.strict_capacity_type = config.strict_capacity_type;
  options.default_runtime_version = config.default_runtime_version;
  options.claim_zones_max = config.claim_zones_max;
  options.operator_organization = config.operator_organization;
  return options;
}

reconcile::ScaleOptions scale_options(const Config& config) {
  reconcile::ScaleOptions options;
  options.interval = config.autoscale_interval;
  options.up_window = config.autoscale_up_window;
  options.down_window = config.autoscale_down_window;
  options.load_window_starts = config.autoscale_load_window_starts;
  options.load_window_max = config.autoscale_load_window_max;
  options.tolerance = config.autoscale_tolerance / 100.0;
  options.utilization = config.autoscale_utilization / 100.0;
  return options;
}

// The engines this server offers; in emulation all of them are the simulated one.
Result<runtime::EngineCatalogue> read_engine_catalogue(const Config& config,
                                                       const std::string& self_path) {
  runtime::EngineCatalogue shipped = runtime::shipped_engines(self_path);
  if (config.emulate) {
    // What the hosted API advertises, and what the file adds.
    shipped.engines.erase("llama.cpp");
    shipped.engines.erase("simulated");
  }
  TRY_ASSIGN(runtime::EngineCatalogue catalogue,
             runtime::read_engines(config.engines_toml, std::move(shipped)));
  if (config.emulate) {
    for (auto& [name, engine] : catalogue.engines)
      engine = runtime::as_simulated(engine, self_path);
  }
  return catalogue;
}

// One event loop on its thread, with the gateway and the servers, one per port, that live on it.
class ServingLoop {
 public:
  struct Shared {
    const Clock& clock;
    const Log& log;
    Metrics& metrics;
    const auth::TokenTable& tokens;
    gateway::RouteTableSlot& routes;
    wire::ApiRouter& api;
    const gateway::Options& gateway_options;
    const std::atomic<bool>& is_serving;
    net::ServerLimits limits;
  };

  explicit ServingLoop(const Shared& shared)
      : limits_(shared.limits),
        loop_(shared.clock),
        gateway_(loop_, shared.clock, random_, shared.tokens, shared.routes, shared.metrics,
                 shared.log, shared.gateway_options),
        front_(gateway_, shared.api, shared.metrics, shared.is_serving) {}

  void listen(net::Listener listener, net::TlsPolicy tls_policy) {
    servers_.push_back(
        std::make_unique<net::HttpServer>(loop_, front_, std::move(listener), limits_, tls_policy));
  }
  void start() {
    thread_ = Thread("loop", [this] { loop_.run(); });
  }
  // Calls `done` once for each server.
  void drain(std::function<void()> done) {
    loop_.post([this, done = std::move(done)] {
      for (auto& server : servers_) server->drain(done);
    });
  }
  // Ends what is still open and joins the thread.
  void stop() {
    loop_.post([this] {
      servers_.clear();
      loop_.post([this] { loop_.stop(); });
    });
    thread_.join();
  }

 private:
  const net::ServerLimits limits_;
  SystemRandom random_;
  net::EventLoop loop_;
  gateway::Gateway gateway_;
  Front front_;
  std::vector<std::unique_ptr<net::HttpServer>> servers_;
  Thread thread_;
};

// Looks through the database while the server reads it; nothing is served before it is through.
class DatabaseCheck {
 public:
  explicit DatabaseCheck(const std::string& path)
      : thread_("db-check", [this, path] { outcome_ = store::check_sqlite_database(path); }) {}
  // What it found, which is told once.
  Result<void> wait() {
    thread_.join();
    return std::exchange(outcome_, Result<void>());
  }

 private:
  Result<void> outcome_;
  Thread thread_;
};

Result<void> make_directory(const std::string& path) {
  std::error_code problem;
  std::filesystem::create_directories(path, problem);
  if (!problem) return {};
  return Error{
      .code = Code::failed_precondition,
      .message = fmt::format("cannot make the data directory {}: {}; choose another with --data",
                             path, problem.message())};
}

// Everything a server is, in the order of its birth; death runs backwards.
class Server {
 public:
  Server(Config config, std::string self_path, std::string search_path,
         std::map<std::string, std::string> engine_environment)
      : config_(std::move(config)),
        self_path_(std::move(self_path)),
        search_path_(std::move(search_path)),
        engine_environment_(std::move(engine_environment)),
        log_(2, log_level_of(config_)) {}

  Result<int> run() {
    TRY(load_certificate());
    TRY_ASSIGN(const std::vector<auth::Token> bootstrap_tokens, read_bootstrap_tokens());
    const std::string database = config_.data + "/staithe.db";
    TRY(open_ports(database));
    TRY(make_directory(config_.data));
    TRY_ASSIGN(takeover_,
               take_over(database, config_.takeover_timeout, stop_signal_, clock_, log_));
    store::SqliteOptions store_options;
    store_options.check = store::Check::by_caller;
    store_options.metrics = &metrics_;
    store_options.ownership = &takeover_->ownership;
    TRY_ASSIGN(store_, store::open_sqlite_store(database, store_options, clock_, log_));
    DatabaseCheck check(database);
    Result<int> code = serve(bootstrap_tokens, check);
    // What failed may have failed because of the damage.
    if (!code) TRY(check.wait());
    return code;
  }

 private:
  Result<int> serve(const std::vector<auth::Token>& bootstrap_tokens, DatabaseCheck& check) {
    TRY(ensure_first_token(*store_, config_.data, config_.organization, clock_, random_, log_));
    TRY(open_driver());

    model::CatalogueSlot catalogue(catalogue_);
    ControlPlane control_plane;
    Services services(*store_, clock_, random_, catalogue, control_plane,
                      service_options(config_, public_url()));
    TRY(services.gateways.refresh_endpoints());
    TRY(services.nodes.refresh_catalogue());
    WorkerPool workers("api", config_.api_workers, api_queue_length_max);
    wire::HealthService health;
    wire::MethodTable table = api_routes(services, workers);
    health.add_to(table);
    wire::add_reflection(table);
    wire::ApiOptions api_options;
    api_options.rest_error_code =
        config_.rest_error_code == "http" ? wire::RestErrorCode::http : wire::RestErrorCode::rpc;
    api_options.cors = wire::CorsPolicy(config_.cors_origins);
    wire::ApiRouter api(table, tokens_, clock_, random_, api_options, metrics_);

    gateway::RouteTableSlot routes(metrics_, std::size_t{config_.prefix_table_mib} * 1024 * 1024);
    gateway::Options gateway_options = gateway_options_of(config_);
    std::unique_ptr<OtlpExporter> exporter;
    if (!config_.otlp_endpoint.empty()) {
      TRY_ASSIGN(exporter, OtlpExporter::open(config_.otlp_endpoint, metrics_, log_));
    }
    gateway_options.trace = {.sink = exporter.get(),
                             .sample_percent = config_.trace_sample_percent};
    gateway::UsageBook usage;
    std::optional<UsageWriter> usage_writer;  // outlives the loops, whose last requests it writes
    if (config_.usage) {
      gateway_options.usage = &usage;
      usage_writer.emplace(usage, *store_, config_.usage_interval, metrics_, log_);
    }

    std::unique_ptr<WandbClient> wandb;
    std::optional<gateway::WandbKeys> wandb_keys;
    if (!config_.wandb_endpoint.empty()) {
      TRY_ASSIGN(wandb, WandbClient::open(config_.wandb_endpoint, config_.wandb_timeout, log_));
      wandb_keys.emplace(clock_, metrics_, gateway::WandbKeys::Options{},
                         [client = wandb.get()](std::string key, gateway::WandbKeys::Done done) {
                           client->ask(std::move(key), done);
                         });
      gateway_options.wandb_keys = &*wandb_keys;
    }

    gateway::LimitBook limits;
    gateway_options.limits = &limits;
    Feeds feeds(clock_, *store_, tokens_, routes, limits, log_, bootstrap_tokens,
                {.domain = config_.domain,
                 .each_organization = config_.limit_each_organization,
                 .each_token = config_.limit_each_token});
    WorkerPool driver_calls("driver-call", driver_calls_max, driver_calls_queued_max);
    reconcile::LoopOptions loop_options;
    loop_options.replica_drain_max = config_.replica_drain_timeout;
    loop_options.scaling = scale_options(config_);
    reconcile::Loop reconcilers(
        clock_, random_, log_, *store_, *driver_, driver_calls, catalogue_, loop_options,
        {.on_serving =
             [&feeds](const model::Id& deployment_id,
                      std::vector<reconcile::ServingReplica> replicas) {
               feeds.serving(deployment_id, std::move(replicas));
             },
         .is_drained =
             [this, &feeds](const model::Id& replica_id) {
               return is_alone() && feeds.is_drained(replica_id);
             },
         .demand = [&feeds](const model::Id& deployment_id) { return feeds.demand(deployment_id); },
         .active_deployments = [&feeds] { return feeds.active_deployments(); }});
    TRY(feeds.start());
    TRY(check.wait());

    control_plane.attach(&reconcilers);
    reconcilers.start();
    if (takeover_->place_in_line.is_open()) {
      wait_until([&] { return are_engines_routed(feeds); }, routes_wait_max);
    }
    TRY(start_listening(served_));
    std::vector<std::unique_ptr<ServingLoop>> loops;
    const ServingLoop::Shared shared{clock_,          log_,        metrics_,
                                     tokens_,         routes,      api,
                                     gateway_options, is_serving_, connection_limits()};
    for (std::size_t i = 0; i < served_.ports.front().listeners.size(); ++i) {
      ServingLoop& loop = *loops.emplace_back(std::make_unique<ServingLoop>(shared));
      for (ServedPort& port : served_.ports) {
        loop.listen(std::move(port.listeners[i]), port.tls_policy);
      }
    }
    if (tls_) tls_->start();
    for (auto& loop : loops) loop->start();
    is_serving_.store(true, std::memory_order_release);
    health.set_serving(true);
    for (const std::string& url : served_.urls) std::printf("ready %s\n", url.c_str());
    std::fflush(stdout);
    takeover_->place_in_line.reset();  // whoever was before us may go

    if (!is_hurried_) stop_signal_.wait();  // nobody told us to stop before we began
    const auto begin_drain = [&] {
      is_serving_.store(false, std::memory_order_release);
      health.set_serving(false);
      return drain(loops);
    };
    DrainCount undrained;
    const bool has_successor = takeover_->ownership.has_successor();
    if (has_successor) {
      api.close();
    } else {
      undrained = begin_drain();
    }
    // Streams need none of this, and whoever comes next does.
    wait_until([&api] { return api.open_calls() == 0; }, api_drain_max);
    control_plane.attach(nullptr);
    reconcilers.stop();
    feeds.stop();
    takeover_->ownership.give_up();
    if (has_successor) {
      log_.info("another server takes over");
      wait_until([this] { return !takeover_->ownership.has_successor(); }, successor_start_max);
      undrained = begin_drain();
    }
    wait_until([&undrained] { return undrained->load(std::memory_order_acquire) == 0; },
               config_.drain_timeout);
    for (auto& loop : loops) loop->stop();
    return 0;
  }

  Result<std::vector<auth::Token>> read_bootstrap_tokens() {
    std::vector<auth::Token> tokens;
    for (const std::string& text : config_.bootstrap_tokens) {
      TRY_ASSIGN(auth::Token token, auth::parse_bootstrap_token(text, clock_.now()));
      tokens.push_back(std::move(token));
    }
    return tokens;
  }

  Result<void> load_certificate() {
    if (config_.tls_cert.empty()) return {};
    net::TlsFiles files{.certificate = config_.tls_cert,
                        .key = config_.tls_key,
                        .client_ca = config_.tls_client_ca};
    if (config_.tls_client_auth == "required") {
      files.client_certificates = net::ClientCertificates::required;
    } else if (!config_.tls_client_ca.empty() && config_.tls_client_auth != "none") {
      files.client_certificates = net::ClientCertificates::optional;
    }
    TRY_ASSIGN(tls_, TlsReload::open(std::move(files), clock_, metrics_, log_));
    return {};
  }

  Result<void> open_driver() {
    TRY_ASSIGN(const runtime::EngineCatalogue engines, read_engine_catalogue(config_, self_path_));
    runtime::LocalOptions options;
    options.data_directory = std::filesystem::absolute(config_.data).string();
    options.search_path =
        config_.engine_search_path.empty() ? search_path_ : config_.engine_search_path;
    options.environment = engine_environment_;
    options.stop_grace = config_.stop_grace;
    if (config_.engine_port_first > 0) {
      options.ports = {config_.engine_port_first, config_.engine_port_last};
    }
    options.inventory.zone = config_.zone;
    const std::vector<NodeGroup> groups =
        config_.nodes.empty() && config_.emulate ? emulated_nodes() : config_.nodes;
    for (const NodeGroup& group : groups) {
      options.inventory.virtual_nodes.push_back({.zone = group.zone,
                                                 .instance_type = group.instance_type,
                                                 .gpus = group.gpu_count,
                                                 .count = group.count,
                                                 .owner_organization = group.owner_organization});
    }
    runtime::WeightsOptions weights;
    weights.root = config_.weights_root;
    weights.bucket_directories = config_.buckets;
    TRY_ASSIGN(driver_,
               runtime::LocalDriver::open(std::move(options), engines, runtime::Weights(weights),
                                          clock_, random_, log_, metrics_));
    TRY_ASSIGN(const std::vector<model::Node> nodes, driver_->nodes());
    catalogue_ = runtime::make_catalogue(nodes, engines);
    return {};
  }

  // Of the ways to reach us the last is over TLS, if any is.
  std::string public_url() const {
    return config_.public_url.empty() ? served_.urls.back() : config_.public_url;
  }

  net::ServerLimits connection_limits() const {
    net::ServerLimits limits;
    const std::size_t descriptors = raise_descriptor_limit();
    std::size_t server_count = 0;
    for (const ServedPort& port : served_.ports) server_count += port.listeners.size();
    limits.connections_max =
        std::min(limits.connections_max, connections_per_server(descriptors, server_count));
    if (limits.connections_max * server_count < 10'000) {
      log_.warning(
          "few connections fit; raise the hard limit of open files (ulimit -Hn)",
          {{"descriptors", descriptors}, {"connections", limits.connections_max * server_count}});
    }
    return limits;
  }

  // A port that the server before us serves is ours too, once it has made way.
  Result<void> open_ports(const std::string& database) {
    const net::TlsContextSlot* contexts = tls_ ? &tls_->contexts() : nullptr;
    auto served = listen_on_ports(config_, contexts);
    if (!served && served.error().reason == "PORT_TAKEN" && config_.takeover_timeout.count() > 0 &&
        store::Ownership::is_taken(database)) {
      served = bind_to_ports(config_, contexts);
    }
    TRY_ASSIGN(served_, std::move(served));
    return {};
  }

  // Whoever served before us goes on until all engines found running can be reached through us.
  bool are_engines_routed(const Feeds& feeds) const {
    const auto replicas = driver_->list();
    return replicas && std::all_of(replicas->begin(), replicas->end(), [&](const auto& replica) {
             return replica.phase != runtime::ReplicaPhase::starting &&
                    (replica.phase != runtime::ReplicaPhase::ready || feeds.is_routed(replica.id));
           });
  }

  // Nobody but us has requests at our engines. Of the control thread.
  bool is_alone() {
    is_alone_ = is_alone_ || !takeover_->ownership.has_predecessor();
    return is_alone_;
  }

  // How many servers have connections left.
  using DrainCount = std::shared_ptr<std::atomic<std::size_t>>;

  // Lets open requests finish.
  DrainCount drain(std::vector<std::unique_ptr<ServingLoop>>& loops) {
    log_.info("draining", {{"limit_ms", config_.drain_timeout.count()}});
    auto left = std::make_shared<std::atomic<std::size_t>>(loops.size() * served_.ports.size());
    for (auto& loop : loops) {
      loop->drain([left] { left->fetch_sub(1, std::memory_order_acq_rel); });
    }
    return left;
  }

  // Up to a limit or, for all that is still to come, another signal.
  template <typename Condition>
  void wait_until(const Condition& condition, std::chrono::milliseconds limit) {
    constexpr std::chrono::milliseconds look_every{5};
    const Instant due = clock_.instant() + limit;
    while (!is_hurried_ && !condition() && clock_.instant() < due) {
      is_hurried_ = stop_signal_.wait_for(look_every);
    }
  }

  StopSignal stop_signal_;  // before any thread
  const Config config_;
  const std::string self_path_;
  const std::string search_path_;
  const std::map<std::string, std::string> engine_environment_;
  SystemClock clock_;
  SystemRandom random_;
  Log log_;
  Metrics metrics_;
  std::atomic<bool> is_serving_{false};
  auth::TokenTable tokens_;
  std::unique_ptr<TlsReload> tls_;  // null without TLS
  ServedPorts served_;
  std::optional<Takeover> takeover_;
  bool is_alone_ = false;
  bool is_hurried_ = false;     // told to stop while we waited for something else
  model::Catalogue catalogue_;  // of what is there at the start
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<runtime::Driver> driver_;
};

}  // namespace

int serve(Config config, const std::string& self_path, const Environment& environment) {
  // What an engine may need of ours: where things are, never what is secret.
  std::map<std::string, std::string> inherited;
  for (const char* name : {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}) {
    if (const auto found = environment.find(name); found != environment.end())
      inherited.insert(*found);
  }
  const std::string search_path = inherited.contains("PATH") ? inherited.at("PATH") : std::string{};
  Server server(std::move(config), self_path, search_path, std::move(inherited));
  const Result<int> outcome = server.run();
  if (outcome) return *outcome;
  std::fprintf(stderr, "staithe: %s\n", outcome.error().message.c_str());
  return outcome.error().code == Code::invalid_argument ? 2 : 1;
}

}  // namespace staithe::app
