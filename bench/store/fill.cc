#include "bench/store/fill.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "app/default_catalogue.h"
#include "base/executor.h"
#include "base/random.h"
#include "bench/must.h"
#include "bench/scratch_store.h"
#include "reconcile/loop.h"
#include "runtime/fake/fake_driver.h"
#include "runtime/local/inventory.h"
#include "service/endpoints.h"
#include "service/lifecycle.h"
#include "store/records.h"

namespace staithe::bench {
namespace {

std::vector<model::Node> emulated_inventory() {
  runtime::InventoryOptions options;
  for (const app::NodeGroup& group : app::emulated_nodes()) {
    options.virtual_nodes.push_back({.zone = group.zone,
                                     .instance_type = group.instance_type,
                                     .gpus = group.gpu_count,
                                     .count = group.count,
                                     .owner_organization = group.owner_organization});
  }
  return must(runtime::take_inventory(options, "")).nodes;
}

class Filler {
 public:
  Filler(store::Store& store, const Clock& clock, std::string organization)
      : store_(store), clock_(clock), organization_(std::move(organization)) {}

  template <typename T>
  void put(T resource) {
    resource.spec.organization_id = organization_;
    service::mark_created(resource.status, clock_.now(), "Made for a bench.");
    creates_.push_back(store::create_step(resource));
    if (creates_.size() >= 1'000) flush();
  }
  void flush() { must(store_.commit_and_wait(std::exchange(creates_, {}))); }

 private:
  store::Store& store_;
  const Clock& clock_;
  const std::string organization_;
  store::Transaction creates_;
};

void put_claims(Filler& filler, Random& random, std::size_t count,
                const std::vector<model::Node>& nodes) {
  for (std::size_t i = 0; i < count; ++i) {
    // One of each node's kind, so that every claim finds its own.
    const model::Node& node = nodes.at(i);
    model::CapacityClaim claim;
    claim.spec.id = random.uuid();
    claim.spec.name = fmt::format("team-{}", i);
    claim.spec.resources.instance_id = node.instance_type;
    claim.spec.resources.instance_count = 1;
    claim.spec.resources.capacity_type = model::CapacityType::managed;
    claim.spec.resources.zones = {node.zone};
    claim.status.pending_instances = 1;
    filler.put(std::move(claim));
  }
}

std::vector<model::Id> put_gateways(Filler& filler, Random& random, std::size_t count,
                                    const std::string& public_url) {
  std::vector<model::Id> ids;
  for (std::size_t i = 0; i < count; ++i) {
    model::Gateway gateway;
    gateway.spec.id = ids.emplace_back(random.uuid());
    gateway.spec.name = fmt::format("edge-{}", i);
    gateway.spec.endpoint_configuration.emplace().additional_dns = {
        fmt::format("edge-{}.example.com", i)};
    gateway.status.endpoints = service::gateway_endpoints(
        gateway.spec, {.base_url = public_url, .scheme = "http", .domain = {}});
    filler.put(std::move(gateway));
  }
  return ids;
}

void put_deployments(Filler& filler, Random& random, std::size_t count,
                     const std::vector<model::Id>& gateways) {
  for (std::size_t i = 0; i < count; ++i) {
    model::Deployment deployment;
    deployment.spec.id = random.uuid();
    deployment.spec.name = fmt::format("llama-{}", i);
    deployment.spec.gateway_ids = {gateways[i % gateways.size()]};
    deployment.spec.runtime = {
        .engine = "vllm",
        .version = "0.8.5",
        .engine_config = {{"max-model-len", "8192"}, {"gpu-memory-utilization", "0.9"}},
        .engine_env = {{"VLLM_LOGGING_LEVEL", "INFO"}}};
    deployment.spec.resources = {.instance_type = "gb200-4x", .gpu_count = 1};
    deployment.spec.model = {.name = fmt::format("meta-llama/Llama-3.1-8B-{}", i),
                             .bucket = "models",
                             .path = "llama-3.1-8b"};
    deployment.spec.autoscaling.min = 1;
    deployment.spec.autoscaling.max = 4;
    deployment.spec.traffic.weight = 100;
    deployment.spec.disabled = true;
    filler.put(std::move(deployment));
  }
}

bool are_all_ready(store::Store& store) {
  const auto is_ready = [](const auto& each) {
    return each.value.status.status == model::Status::ready;
  };
  const auto claims = must(store::list_claims(store));
  const auto gateways = must(store::list_gateways(store));
  const auto deployments = must(store::list_deployments(store));
  return std::all_of(claims.begin(), claims.end(), is_ready) &&
         std::all_of(gateways.begin(), gateways.end(), is_ready) &&
         std::all_of(deployments.begin(), deployments.end(), is_ready);
}

// Until the control plane has nothing more to do at once.
void converge(store::Store& store, const Clock& clock, const Log& log, Random& random,
              const std::vector<model::Node>& nodes) {
  runtime::FakeDriver driver(clock);
  for (const model::Node& node : nodes) driver.add_node(node);
  const model::Catalogue catalogue;
  InlineExecutor executor;
  reconcile::LoopOptions options;
  options.resync_interval = std::chrono::hours{1};
  options.node_sync_interval = std::chrono::hours{1};
  reconcile::Loop loop(clock, random, log, store, driver, executor, catalogue, options, {});
  while (loop.step() <= clock.instant() || !are_all_ready(store)) {
  }
}

}  // namespace

void fill(const std::string& folder, const Mix& mix, const std::string& organization,
          const std::string& public_url) {
  const SystemClock clock;
  const Log log(2, LogLevel::warning);
  SeededRandom random(20'261'125);
  const std::vector<model::Node> nodes = emulated_inventory();
  ScratchStore scratch(clock, log);
  Filler filler(scratch.store(), clock, organization);
  put_claims(filler, random, mix.claims, nodes);
  const std::vector<model::Id> gateways = put_gateways(filler, random, mix.gateways, public_url);
  put_deployments(filler, random, mix.deployments, gateways);
  filler.flush();
  converge(scratch.store(), clock, log, random, nodes);
  std::filesystem::create_directories(folder);
  std::move(scratch).move_to(std::filesystem::path(folder) / "staithe.db");
}

}  // namespace staithe::bench
