#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/ip_range.h"
#include "gateway/demand.h"
#include "gateway/deployment_queue.h"
#include "gateway/gateway_metrics.h"
#include "gateway/replica_load.h"
#include "net/http_client.h"

namespace staithe::gateway {

enum class AuthKind : std::uint8_t { coreweave, weights_and_biases };
enum class Routing : std::uint8_t { body, header, path };

// What may be served, as plain values: the input of a route table.
struct ReplicaRoute {
  std::string id;
  net::Endpoint endpoint;
  bool operator==(const ReplicaRoute&) const = default;
};
struct DeploymentRoute {
  std::string id;
  std::string model;  // the name clients use, and the name the engine serves it under
  std::uint32_t weight = 0;
  bool is_disabled = false;
  Timestamp created_at;
  std::uint32_t concurrency = 0;  // requests per replica; 0: as many as come
  std::vector<ReplicaRoute> ready_replicas;
  bool operator==(const DeploymentRoute&) const = default;
};
struct GatewayRoute {
  std::string id;
  std::string name;
  std::string organization;
  AuthKind auth = AuthKind::coreweave;
  Routing routing = Routing::body;
  std::string header_name;         // for Routing::header
  std::vector<std::string> hosts;  // host names that lead here, without port
  std::vector<IpRange> sources;    // whose requests are taken; empty: everybody's
  std::vector<DeploymentRoute> deployments;
  bool operator==(const GatewayRoute&) const = default;
};
// Everything that is served. What is the same object as in the table before was not changed and is
// not built anew, so that a table costs what it changes.
using GatewayRoutes = std::vector<std::shared_ptr<const GatewayRoute>>;

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};
template <typename T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

// The built form of the above, with the counters beside what they count.
struct ServedReplica {
  net::Endpoint endpoint;
  std::shared_ptr<ReplicaLoad> load;
};
struct ServedDeployment {
  std::string id;
  std::uint32_t weight = 0;
  std::uint32_t concurrency = 0;  // requests per replica; 0: as many as come
  std::vector<ServedReplica> replicas;
  DeploymentMetrics* metrics = nullptr;
  // Of all its gateways together.
  std::shared_ptr<DeploymentDemand> demand;
  std::shared_ptr<DeploymentQueue> queue;
};
// How often a model was chosen from; see choose_deployment.
using SplitTurn = std::atomic<std::uint64_t>;
struct ServedModel {
  std::string name;
  Timestamp created_at;                       // of its oldest deployment
  std::vector<ServedDeployment> deployments;  // enabled ones, at least one
  std::shared_ptr<SplitTurn> turn;            // shared by all loops and successive tables
};
struct ServedGateway {
  std::string id;
  std::string organization;
  AuthKind auth = AuthKind::coreweave;
  Routing routing = Routing::body;
  std::string header_name;
  std::vector<IpRange> sources;
  StringMap<ServedModel> models;
  std::string model_list;  // the answer to GET /v1/models while no engine has added to it
  RequestCounters* undecided = nullptr;
  std::vector<std::string> hosts;        // folded
  std::vector<net::Endpoint> endpoints;  // of its replicas; sorted, without repeats
  std::size_t deployment_count = 0;
  std::shared_ptr<const GatewayRoute> source;  // what it was built from

  const ServedModel* find_model(std::string_view name) const;
  bool may_come_from(std::string_view peer_address) const;
};

// What outlives route tables and is looked up when one is built.
struct RouteParts {
  ReplicaLoads& loads;
  DemandTable& demands;
  QueueTable& queues;
  GatewayMetrics& metrics;
};

// Everything the data plane may serve at one moment. Immutable; loops share it, and tables share
// the gateways that did not change from one to the next.
class RouteTable {
 public:
  RouteTable() = default;
  // `previous` hands on what outlives a table. Of two gateways with one host name the first wins.
  RouteTable(const GatewayRoutes& gateways, const RouteParts& parts, const RouteTable* previous);
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;

  const ServedGateway* find_by_id(std::string_view id) const;
  // `host` is the value of a Host header: letter case, a port and a final dot do not matter.
  const ServedGateway* find_by_host(std::string_view host) const;

  // Of those that are served; null if it is not.
  const ServedDeployment* find_deployment(std::string_view gateway_id,
                                          std::string_view deployment_id) const;

  void for_each_model(const std::function<void(const ServedModel&)>& visit) const;
  void for_each_deployment(const std::function<void(const ServedDeployment&)>& visit) const;

  // Those that gateways of the table before had, and the same gateways have no longer.
  const std::vector<net::Endpoint>& endpoints_gone() const { return endpoints_gone_; }
  std::size_t deployment_count() const { return deployment_count_; }
  // Of gateways that were not taken over from the table before.
  std::size_t built_deployment_count() const { return built_deployment_count_; }

 private:
  // Keys are texts of the gateways.
  std::unordered_map<std::string_view, std::shared_ptr<const ServedGateway>> by_id_;
  std::unordered_map<std::string_view, const ServedGateway*> by_host_;
  std::vector<net::Endpoint> endpoints_gone_;
  std::size_t deployment_count_ = 0;
  std::size_t built_deployment_count_ = 0;
};

}  // namespace staithe::gateway
