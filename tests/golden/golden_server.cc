#include "golden/golden_server.h"

#include <filesystem>

#include "app/api_routes.h"
#include "auth/token_record.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "base/worker_pool.h"
#include "golden/http2_client.h"
#include "net/http_server.h"
#include "reconcile/loop.h"
#include "runtime/fake/fake_driver.h"
#include "service/no_control_plane.h"
#include "store/memory/memory_store.h"
#include "store/sqlite/sqlite_store.h"
#include "wire/api_handler.h"

namespace staithe::tests {
namespace {

model::Catalogue make_catalogue() {
  model::Catalogue catalogue;
  catalogue.zones = {"US-EAST-01A", "US-WEST-04A", "RNO2A", "EU-SOUTH-03B"};
  catalogue.instance_types = {{"gb200-4x", 4}, {"gd-1xgh200", 1}, {"gd-8xh100ib-i128", 8}};
  catalogue.zone_instance_types = {{"US-EAST-01A", {"gb200-4x"}},
                                   {"US-WEST-04A", {"gb200-4x"}},
                                   {"RNO2A", {"gd-1xgh200"}},
                                   {"EU-SOUTH-03B", {"gd-8xh100ib-i128"}}};
  model::EngineOffer vllm;
  vllm.versions = {"0.22.0+crwv.2", "0.8.5"};
  vllm.allowed_keys = {"gpu-memory-utilization", "max-model-len", "max-num-seqs"};
  vllm.allowed_env_names = {"VLLM_LOGGING_LEVEL", "VLLM_USE_FLASHINFER_MOE_FP4"};
  catalogue.engines["vllm"] = vllm;
  vllm.versions = {"0.8.5"};
  catalogue.engines["dynamo-vllm"] = vllm;
  return catalogue;
}

// Two nodes of each type in each zone that offers it.
void add_nodes(const model::Catalogue& catalogue, runtime::FakeDriver& driver) {
  for (const auto& [zone, types] : catalogue.zone_instance_types) {
    for (const std::string& type : types) {
      for (int i = 0; i < 2; ++i) {
        driver.add_node({.id = model::fold_instance(type + "-" + zone + "-" + std::to_string(i)),
                         .zone = zone,
                         .instance_type = type,
                         .gpu_count = catalogue.find_instance_type(type)->gpu_count,
                         .owner_organization = {},
                         .schedulable = true});
      }
    }
  }
}

service::ServiceOptions make_options(const std::map<std::string, std::string>& options) {
  const auto number = [&options](const char* name) {
    const auto found = options.find(name);
    return found == options.end() ? 0u : static_cast<std::uint32_t>(std::stoul(found->second));
  };
  service::ServiceOptions made;
  made.endpoints.base_url = "http://gateway.test";
  made.quotas.standard.claims = number("claims_max");
  made.quotas.standard.claimed_instances = number("claim_instances_max");
  made.claim_zones_max = number("claim_zones_max");
  if (options.contains("operator")) made.operator_organization = options.at("operator");
  made.strict_capacity_type = number("strict_capacity_type") != 0;
  made.default_runtime_version = number("default_runtime_version") != 0;
  return made;
}

}  // namespace

struct GoldenServer::Impl {
  Impl(StoreKind store_kind, const std::map<std::string, std::string>& options)
      : directory(std::filesystem::temp_directory_path() /
                  ("staithe-golden-" + SystemRandom{}.uuid())),
        catalogue(make_catalogue()),
        driver(clock),
        store(open_store(store_kind)),
        services(*store, clock, random, catalogue_slot, control_plane, make_options(options)),
        table(app::api_routes(services, workers)),
        api(table, tokens, clock, random, {}, metrics),
        reconcilers(clock, random, log, *store, driver, executor, catalogue, {}, {}),
        loop(wall_clock) {
    add_nodes(catalogue, driver);
    std::vector<auth::Token> all;
    for (const char* text : {"admin-token=cw1a2b:admin", "viewer-token=cw1a2b:viewer",
                             "stranger-token=cw9f9f:admin"}) {
      all.push_back(*auth::parse_bootstrap_token(text, clock.now()));
    }
    tokens.replace(std::make_shared<const auth::TokenSnapshot>(std::move(all)));
    auto listener = net::listen_on({.host = "127.0.0.1", .port = 0});
    CHECK(listener.has_value());
    port = listener->port;
    server = std::make_unique<net::HttpServer>(loop, api, *std::move(listener));
    thread = Thread("golden", [this] { loop.run(); });
  }

  ~Impl() {
    loop.post([this] {
      server.reset();
      loop.post([this] { loop.stop(); });
    });
    thread.join();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }

  std::unique_ptr<store::Store> open_store(StoreKind kind) {
    if (kind == StoreKind::memory) return std::make_unique<store::MemoryStore>();
    std::filesystem::create_directories(directory);
    auto opened = store::open_sqlite_store((directory / "staithe.db").string(), {}, clock, log);
    CHECK_THAT(opened.has_value(), opened ? "" : opened.error().message);
    return *std::move(opened);
  }

  const std::filesystem::path directory;
  Log log{2, LogLevel::error};
  FakeClock clock;
  SystemClock wall_clock;
  SystemRandom random;
  Metrics metrics;
  const model::Catalogue catalogue;
  model::CatalogueSlot catalogue_slot{catalogue};
  runtime::FakeDriver driver;
  std::unique_ptr<store::Store> store;
  service::NoControlPlane control_plane;
  InlineExecutor executor;
  WorkerPool workers{"golden-api", 2, 64};
  app::Services services;
  wire::MethodTable table;
  auth::TokenTable tokens;
  wire::ApiRouter api;
  reconcile::Loop reconcilers;
  net::EventLoop loop;
  std::unique_ptr<net::HttpServer> server;
  std::uint16_t port = 0;
  Thread thread;
};

GoldenServer::GoldenServer(StoreKind store_kind, const std::map<std::string, std::string>& options)
    : impl_(std::make_unique<Impl>(store_kind, options)) {}

GoldenServer::~GoldenServer() = default;

const wire::MethodTable& GoldenServer::methods() const {
  return impl_->table;
}

Result<HttpAnswer> GoldenServer::send(net::BlockingRequest request, HttpVersion version,
                                      const std::string& caller) {
  request.host = "127.0.0.1";
  request.port = impl_->port;
  if (caller != "nobody")
    request.headers.emplace_back("Authorization", "Bearer " + caller + "-token");
  if (version == HttpVersion::http2) return send_http2(request);
  TRY_ASSIGN(net::BlockingAnswer answer, net::send_blocking(request));
  return HttpAnswer{.status = answer.status,
                    .headers = std::move(answer.headers),
                    .body = std::move(answer.body)};
}

// Steps until the next step is further away than the resync of things that are settled already.
void GoldenServer::settle() {
  constexpr int steps_max = 200;
  const Duration soon = std::chrono::seconds{3};
  for (int i = 0; i < steps_max; ++i) {
    const Instant due = impl_->reconcilers.step();
    impl_->driver.settle();
    if (due - impl_->clock.instant() > soon && i > 2) return;
    if (due > impl_->clock.instant()) impl_->clock.advance(std::chrono::milliseconds{1});
  }
}

void GoldenServer::advance(std::chrono::milliseconds by) {
  impl_->clock.advance(by);
}

}  // namespace staithe::tests
