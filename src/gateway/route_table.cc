#include "gateway/route_table.h"

#include <algorithm>
#include <chrono>

#include "base/encoding.h"
#include "gateway/model_list.h"

namespace staithe::gateway {
namespace {

std::shared_ptr<SplitTurn> turn_of(const ServedGateway* previous, std::string_view model) {
  const ServedModel* known = previous == nullptr ? nullptr : previous->find_model(model);
  return known == nullptr ? std::make_shared<SplitTurn>(0) : known->turn;
}

// What a gateway had in the table before, for what of it is still the same.
class Predecessors {
 public:
  struct Deployment {
    const DeploymentRoute* route = nullptr;
    const ServedDeployment* served = nullptr;
  };

  explicit Predecessors(const ServedGateway* gateway) {
    if (gateway == nullptr) return;
    by_id_.reserve(gateway->deployment_count);
    for (const DeploymentRoute& route : gateway->source->deployments) {
      by_id_[route.id].route = &route;
    }
    for (const auto& [name, model] : gateway->models) {
      for (const ServedDeployment& served : model.deployments) by_id_[served.id].served = &served;
    }
  }
  // Null for one that was not served.
  const Deployment* find(std::string_view id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() || found->second.served == nullptr ? nullptr : &found->second;
  }

 private:
  std::unordered_map<std::string_view, Deployment> by_id_;
};

ServedDeployment build_deployment(const DeploymentRoute& route, const std::string& gateway_id,
                                  const RouteParts& parts, const Predecessors& predecessors) {
  const Predecessors::Deployment* const before = predecessors.find(route.id);
  if (before != nullptr && *before->route == route) return *before->served;
  ServedDeployment deployment{
      .id = route.id, .weight = route.weight, .concurrency = route.concurrency};
  if (before != nullptr) {
    deployment.metrics = before->served->metrics;
    deployment.demand = before->served->demand;
    deployment.queue = before->served->queue;
  } else {
    deployment.metrics = &parts.metrics.deployment(gateway_id, deployment.id);
    deployment.demand = parts.demands.at(deployment.id);
    deployment.queue = parts.queues.at(deployment.id);
  }
  for (const ReplicaRoute& replica : route.ready_replicas) {
    deployment.replicas.push_back(
        {replica.endpoint, parts.loads.at(replica.id, replica.endpoint, deployment.queue)});
  }
  return deployment;
}

void sort_out_repeats(std::vector<net::Endpoint>& endpoints) {
  std::sort(endpoints.begin(), endpoints.end());
  endpoints.erase(std::unique(endpoints.begin(), endpoints.end()), endpoints.end());
}

// "Models.Example.com.:8443" is models.example.com; "[::1]:80" is [::1].
std::string fold_host(std::string_view host) {
  const auto bracket = host.rfind(']');
  const auto colon = host.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  if (has_port) host = host.substr(0, colon);
  if (host.ends_with('.')) host.remove_suffix(1);
  return to_lower(host);
}

std::shared_ptr<const ServedGateway> build_gateway(std::shared_ptr<const GatewayRoute> source,
                                                   const RouteParts& parts,
                                                   const ServedGateway* previous) {
  const GatewayRoute& route = *source;
  auto gateway = std::make_shared<ServedGateway>(
      ServedGateway{.id = route.id,
                    .organization = route.organization,
                    .auth = route.auth,
                    .routing = route.routing,
                    .header_name = route.header_name,
                    .sources = route.sources,
                    .undecided = &parts.metrics.undecided(route.id)});
  const Predecessors predecessors(previous);
  for (const std::string& host : route.hosts) gateway->hosts.push_back(fold_host(host));
  for (const DeploymentRoute& deployment : route.deployments) {
    if (deployment.is_disabled) continue;
    ServedModel& model = gateway->models[deployment.model];
    if (model.deployments.empty()) {
      model.name = deployment.model;
      model.created_at = deployment.created_at;
      model.turn = turn_of(previous, model.name);
    }
    model.created_at = std::min(model.created_at, deployment.created_at);
    model.deployments.push_back(build_deployment(deployment, gateway->id, parts, predecessors));
    for (const ReplicaRoute& replica : deployment.ready_replicas) {
      gateway->endpoints.push_back(replica.endpoint);
    }
    ++gateway->deployment_count;
  }
  sort_out_repeats(gateway->endpoints);
  gateway->model_list =
      draw_model_list(*gateway, [](const ServedModel&) { return std::string_view{}; });
  gateway->source = std::move(source);
  return gateway;
}

}  // namespace

const ServedModel* ServedGateway::find_model(std::string_view name) const {
  const auto found = models.find(name);
  return found == models.end() ? nullptr : &found->second;
}

bool ServedGateway::may_come_from(std::string_view peer_address) const {
  if (sources.empty()) return true;
  const auto address = IpAddress::parse(peer_address);
  return address && std::any_of(sources.begin(), sources.end(), [&address](const IpRange& range) {
           return range.contains(*address);
         });
}

RouteTable::RouteTable(const GatewayRoutes& gateways, const RouteParts& parts,
                       const RouteTable* previous) {
  std::vector<const ServedGateway*> replaced;
  std::vector<net::Endpoint> kept;  // of those that replace them
  by_id_.reserve(gateways.size());
  for (const auto& source : gateways) {
    if (by_id_.contains(source->id)) continue;
    const ServedGateway* const before =
        previous == nullptr ? nullptr : previous->find_by_id(source->id);
    std::shared_ptr<const ServedGateway> gateway;
    if (before != nullptr && before->source == source) {
      gateway = previous->by_id_.find(source->id)->second;
    } else {
      gateway = build_gateway(source, parts, before);
      built_deployment_count_ += gateway->deployment_count;
      kept.insert(kept.end(), gateway->endpoints.begin(), gateway->endpoints.end());
      if (before != nullptr) replaced.push_back(before);
    }
    deployment_count_ += gateway->deployment_count;
    for (const std::string& host : gateway->hosts) by_host_.try_emplace(host, gateway.get());
    by_id_.emplace(gateway->id, std::move(gateway));
  }
  if (previous == nullptr) return;
  for (const auto& [id, gateway] : previous->by_id_) {
    if (!by_id_.contains(id)) replaced.push_back(gateway.get());
  }
  std::sort(kept.begin(), kept.end());
  for (const ServedGateway* gateway : replaced) {
    for (const net::Endpoint& endpoint : gateway->endpoints) {
      if (!std::binary_search(kept.begin(), kept.end(), endpoint)) {
        endpoints_gone_.push_back(endpoint);
      }
    }
  }
  sort_out_repeats(endpoints_gone_);
}

void RouteTable::for_each_model(const std::function<void(const ServedModel&)>& visit) const {
  for (const auto& [id, gateway] : by_id_) {
    for (const auto& [name, model] : gateway->models) visit(model);
  }
}

void RouteTable::for_each_deployment(
    const std::function<void(const ServedDeployment&)>& visit) const {
  for_each_model([&visit](const ServedModel& model) {
    for (const ServedDeployment& deployment : model.deployments) visit(deployment);
  });
}

const ServedGateway* RouteTable::find_by_id(std::string_view id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

const ServedDeployment* RouteTable::find_deployment(std::string_view gateway_id,
                                                    std::string_view deployment_id) const {
  const ServedGateway* const gateway = find_by_id(gateway_id);
  if (gateway == nullptr) return nullptr;
  for (const auto& [name, model] : gateway->models) {
    for (const ServedDeployment& deployment : model.deployments) {
      if (deployment.id == deployment_id) return &deployment;
    }
  }
  return nullptr;
}

const ServedGateway* RouteTable::find_by_host(std::string_view host) const {
  if (by_host_.empty()) return nullptr;
  const auto found = by_host_.find(fold_host(host));
  return found == by_host_.end() ? nullptr : found->second;
}

}  // namespace staithe::gateway
