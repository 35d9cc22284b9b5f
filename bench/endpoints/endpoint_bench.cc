// How soon requests go by a change of endpoints, and whether any request fails for it.
//
//   endpoint_bench [--changes N] [--deployments N] [--replicas N] [--rate R] [--streams N]
//                  [--interval-ms I] [--out FILE]
//
// In this process: the way from the control plane to the data plane as it is in `staithe serve`
// (app::Feeds over a SQLite store, the route tables, two gateways on a loop each that share a
// port), engines with a listener each on a third thread, and clients on a fourth that check every
// byte. All speak over sockets. Each change brings one new engine on a new port in and takes the
// oldest out, which drains and, once the gateways say that nothing goes there any more, ends
// together with its listener and connections.
//
// The time of a change is from the call by which the control plane hands the new endpoints over
// (Feeds::serving) until the new engine has its first request. It counts the wait for a request to
// come along, too.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <deque>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/feeds.h"
#include "auth/token_record.h"
#include "base/random.h"
#include "bench/endpoints/engines.h"
#include "bench/must.h"
#include "bench/scratch_store.h"
#include "gateway/gateway.h"
#include "gw/load.h"
#include "service/lifecycle.h"
#include "store/records.h"

namespace staithe::bench {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

struct Options {
  std::size_t changes = 5'000;
  std::size_t deployments = 100;  // of which one is called
  std::size_t replicas = 4;
  double rate = 2'000;           // requests per second that are answered at once
  std::size_t streams = 100;     // at any time, of 16 chunks each
  std::int64_t interval_ms = 5;  // between changes
  std::string out;
};

constexpr const char* organization = "cw1a2b";
constexpr const char* token = "CW-SECRET-bench";
constexpr const char* gateway_id = "the-gateway";
constexpr const char* deployment_id = "the-deployment";
constexpr std::size_t deployments_per_gateway = 100;

void put_gateway(store::Transaction& steps, const Clock& clock, const std::string& id) {
  model::Gateway gateway;
  gateway.spec.id = id;
  gateway.spec.name = id;
  gateway.spec.organization_id = organization;
  service::mark_created(gateway.status, clock.now(), "Made for a bench.");
  steps.push_back(store::create_step(gateway));
}

void put_deployment(store::Transaction& steps, const Clock& clock, const std::string& id,
                    const std::string& model, const std::string& at_gateway) {
  model::Deployment deployment;
  deployment.spec.id = id;
  deployment.spec.name = id;
  deployment.spec.organization_id = organization;
  deployment.spec.gateway_ids = {at_gateway};
  deployment.spec.model.name = model;
  deployment.spec.traffic.weight = 100;
  service::mark_created(deployment.status, clock.now(), "Made for a bench.");
  steps.push_back(store::create_step(deployment));
}

// A gateway on a loop and thread of its own, as `staithe serve` has one per core.
class GatewayLoop {
 public:
  GatewayLoop(const Clock& clock, const auth::TokenTable& tokens, gateway::RouteTableSlot& routes,
              Metrics& metrics, const Log& log, net::Listener listener)
      : loop_(clock),
        gateway_(loop_, clock, random_, tokens, routes, metrics, log, {}),
        server_(std::make_unique<net::HttpServer>(loop_, gateway_, std::move(listener))),
        thread_("loop", [this] { loop_.run(); }) {}
  ~GatewayLoop() {
    loop_.post([this] {
      server_.reset();
      loop_.post([this] { loop_.stop(); });
    });
    thread_.join();
  }

 private:
  SystemRandom random_;
  net::EventLoop loop_;
  gateway::Gateway gateway_;
  std::unique_ptr<net::HttpServer> server_;
  Thread thread_;
};

// Clients on a thread of their own, until they are told that it is enough.
class Clients {
 public:
  Clients(const Clock& clock, const Options& options, std::uint16_t port)
      : clock_(clock),
        loop_(clock),
        single_(loop_, load_options(options, port, false)),
        streams_(loop_, load_options(options, port, true)),
        thread_("clients", [this] { run(); }) {}

  // Waits for the answers to what was sent; what became of single requests, and of streams.
  std::pair<nlohmann::json, nlohmann::json> finish() {
    loop_.post([this] {
      single_.send_no_more();
      streams_.send_no_more();
    });
    thread_.join();
    return {nlohmann::json::parse(single_.report(elapsed_)),
            nlohmann::json::parse(streams_.report(elapsed_))};
  }

 private:
  static LoadOptions load_options(const Options& options, std::uint16_t port, bool is_streaming) {
    LoadOptions load;
    load.target = {.host = "127.0.0.1", .port = port};
    load.path = fmt::format("/gateways/{}/v1/chat/completions", gateway_id);
    load.token = token;
    load.request_count = SIZE_MAX;
    // Or requests would stay with engines that have read their prompt before.
    load.are_prompts_unique = true;
    if (!is_streaming) {
      load.rate = options.rate;
      return load;
    }
    load.connection_count = options.streams;
    load.chunk_count = 16;
    load.interval_ms = 20;
    return load;
  }
  void run() {
    const Instant started = clock_.instant();
    single_.start();
    streams_.start();
    while (!single_.is_done() || !streams_.is_done()) {
      loop_.run_once(std::chrono::milliseconds{100});
    }
    elapsed_ = clock_.instant() - started;
  }

  const Clock& clock_;
  net::EventLoop loop_;
  Load single_;
  Load streams_;
  Duration elapsed_{};
  Thread thread_;
};

double percentile(const std::vector<double>& sorted, double part) {
  return sorted.at(std::min(sorted.size() - 1,
                            static_cast<std::size_t>(part * static_cast<double>(sorted.size()))));
}

class Bench {
 public:
  explicit Bench(Options options)
      : options_(std::move(options)),
        scratch_(clock_, log_),
        routes_(metrics_),
        feeds_(clock_, scratch_.store(), tokens_, routes_, limits_, log_,
               {must(auth::parse_bootstrap_token(fmt::format("{}={}:admin", token, organization),
                                                 clock_.now()))},
               {}),
        engines_(clock_) {}

  // False when a request failed.
  bool run() {
    fill_store();
    must(feeds_.start());
    for (std::size_t i = 1; i < options_.deployments; ++i) {
      feeds_.serving(
          fmt::format("deployment-{}", i),
          {{.id = fmt::format("replica-{}", i), .host = "127.0.0.1", .port = 9, .concurrency = 0}});
    }
    for (std::size_t i = 0; i < options_.replicas; ++i) add_replica();
    hand_over();
    while (!feeds_.is_routed(replicas_.back().route.id)) pass(std::chrono::milliseconds{1});
    net::Listener first = must(net::listen_on({.host = "127.0.0.1", .port = 0}));
    const std::uint16_t port = first.port;
    GatewayLoop one(clock_, tokens_, routes_, metrics_, log_, std::move(first));
    GatewayLoop two(clock_, tokens_, routes_, metrics_, log_,
                    must(net::listen_on({.host = "127.0.0.1", .port = port})));
    Clients clients(clock_, options_, port);
    for (std::size_t i = 0; i < options_.changes; ++i) {
      change();
      end_drained();
      pass(std::chrono::milliseconds{options_.interval_ms});
    }
    const auto [single, streams] = clients.finish();
    while (!draining_.empty()) {
      end_drained();
      pass(std::chrono::milliseconds{1});
    }
    return report(single, streams);
  }

 private:
  struct Replica {
    reconcile::ServingReplica route;
    std::shared_ptr<Engine> engine;
  };

  void fill_store() {
    store::Transaction steps;
    for (std::size_t i = 0; i < options_.deployments; ++i) {
      const std::string gateway = i < deployments_per_gateway
                                      ? gateway_id
                                      : fmt::format("gateway-{}", i / deployments_per_gateway);
      if (i % deployments_per_gateway == 0) put_gateway(steps, clock_, gateway);
      if (i == 0) {
        put_deployment(steps, clock_, deployment_id, "bench", gateway);
      } else {
        put_deployment(steps, clock_, fmt::format("deployment-{}", i), fmt::format("model-{}", i),
                       gateway);
      }
    }
    must(scratch_.store().commit_and_wait(std::move(steps)));
  }

  void add_replica() {
    auto [engine, port] = engines_.start();
    replicas_.push_back({.route = {.id = fmt::format("the-replica-{}", ++replica_count_),
                                   .host = "127.0.0.1",
                                   .port = port,
                                   .concurrency = 0},
                         .engine = std::move(engine)});
  }

  void hand_over() {
    std::vector<reconcile::ServingReplica> serving;
    for (const auto* group : {&replicas_, &draining_}) {
      for (const Replica& replica : *group) serving.push_back(replica.route);
    }
    feeds_.serving(deployment_id, std::move(serving));
  }

  void change() {
    add_replica();
    draining_.push_back(std::move(replicas_.front()));
    replicas_.pop_front();
    draining_.back().route.is_draining = true;
    auto first_request = replicas_.back().engine->first_request();
    const Instant start = clock_.instant();
    hand_over();
    if (first_request.wait_for(std::chrono::seconds{10}) != std::future_status::ready) {
      ++unrouted_count_;
      return;
    }
    times_ms_.push_back(Milliseconds(first_request.get() - start).count());
  }

  // Ends engines that nothing goes to any more. The table forgets them with the next change.
  void end_drained() {
    std::erase_if(draining_, [this](const Replica& replica) {
      if (!feeds_.is_drained(replica.route.id)) return false;
      request_count_ += replica.engine->request_count();
      engines_.end(replica.engine);
      return true;
    });
  }

  std::uint64_t sum_of(std::string_view metric) const {
    std::uint64_t sum = 0;
    const std::string text = metrics_.render();
    for (std::size_t at = 0; (at = text.find(fmt::format("\n{}", metric), at)) != text.npos; ++at) {
      const auto line_end = text.find('\n', at + 1);
      const auto number = text.rfind(' ', line_end);
      sum += std::stoull(text.substr(number, line_end - number));
    }
    return sum;
  }

  bool report(const nlohmann::json& single, const nlohmann::json& streams) {
    for (const Replica& replica : replicas_) request_count_ += replica.engine->request_count();
    std::sort(times_ms_.begin(), times_ms_.end());
    const std::uint64_t failed =
        single["failed"].get<std::uint64_t>() + streams["failed"].get<std::uint64_t>();
    const std::uint64_t done =
        single["done"].get<std::uint64_t>() + streams["done"].get<std::uint64_t>();
    results_ = {{"deployments", options_.deployments},
                {"changes", options_.changes},
                {"changes_without_a_request_in_10_s", unrouted_count_},
                {"seconds", single["seconds"]},
                {"requests_per_second", options_.rate},
                {"streams_at_a_time", options_.streams},
                {"first_routed_ms_p50", percentile(times_ms_, 0.5)},
                {"first_routed_ms_p90", percentile(times_ms_, 0.9)},
                {"first_routed_ms_p99", percentile(times_ms_, 0.99)},
                {"first_routed_ms_max", times_ms_.back()},
                {"single_requests", single["done"]},
                {"streams", streams["done"]},
                {"failed", failed},
                {"retries", sum_of("staithe_gateway_retries_total")},
                {"requests_at_engines", request_count_},
                {"in_flight_at_the_end", sum_of("staithe_gateway_in_flight_requests")}};
    fmt::print("{}\n", results_.dump(2));
    if (!options_.out.empty()) std::ofstream(options_.out) << results_.dump(2) << '\n';
    return failed == 0 && done > 0 && unrouted_count_ == 0;
  }

  static void pass(std::chrono::milliseconds time) {
    std::promise<void> never;
    never.get_future().wait_for(time);
  }

  const Options options_;
  SystemClock clock_;
  Log log_{2, LogLevel::warning};
  ScratchStore scratch_;
  Metrics metrics_;
  auth::TokenTable tokens_;
  gateway::RouteTableSlot routes_;
  gateway::LimitBook limits_;
  app::Feeds feeds_;
  EngineHost engines_;
  std::deque<Replica> replicas_;
  std::deque<Replica> draining_;
  std::size_t replica_count_ = 0;
  std::vector<double> times_ms_;
  std::size_t unrouted_count_ = 0;
  std::uint64_t request_count_ = 0;
  nlohmann::ordered_json results_;
};

}  // namespace
}  // namespace staithe::bench

int main(int argc, char** argv) {
  staithe::bench::Options options;
  CLI::App app("How soon requests go by a change of endpoints");
  app.add_option("--changes", options.changes)->check(CLI::PositiveNumber);
  app.add_option("--deployments", options.deployments)->check(CLI::PositiveNumber);
  app.add_option("--replicas", options.replicas)->check(CLI::PositiveNumber);
  app.add_option("--rate", options.rate)->check(CLI::PositiveNumber);
  app.add_option("--streams", options.streams);
  app.add_option("--interval-ms", options.interval_ms);
  app.add_option("--out", options.out);
  CLI11_PARSE(app, argc, argv);
  return staithe::bench::Bench(std::move(options)).run() ? 0 : 1;
}
