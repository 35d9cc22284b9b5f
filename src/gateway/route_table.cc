#include "gateway/route_table.h"

#include <algorithm>
#include <chrono>

#include "base/encoding.h"
#include "gateway/model_list.h"

namespace staithe::gateway {
namespace {

std::shared_ptr<SplitTurn> turn_of(const RouteTable* previous, std::string_view gateway_id,
                                   std::string_view model) {
  const ServedGateway* gateway = previous == nullptr ? nullptr : previous->find_by_id(gateway_id);
  const ServedModel* known = gateway == nullptr ? nullptr : gateway->find_model(model);
  return known == nullptr ? std::make_shared<SplitTurn>(0) : known->turn;
}

ServedDeployment build_deployment(DeploymentRoute& route, const std::string& gateway_id,
                                  const RouteParts& parts) {
  ServedDeployment deployment{
      .id = std::move(route.id), .weight = route.weight, .concurrency = route.concurrency};
  deployment.metrics = &parts.metrics.deployment(gateway_id, deployment.id);
  deployment.demand = parts.demands.at(deployment.id);
  deployment.queue = parts.queues.at(deployment.id);
  for (ReplicaRoute& replica : route.ready_replicas) {
    auto load = parts.loads.at(replica.id, replica.endpoint, deployment.queue);
    deployment.replicas.push_back({std::move(replica.endpoint), std::move(load)});
  }
  return deployment;
}

ServedGateway build_gateway(GatewayRoute& route, const RouteParts& parts,
                            const RouteTable* previous) {
  ServedGateway gateway{.id = route.id,
                        .organization = std::move(route.organization),
                        .auth = route.auth,
                        .routing = route.routing,
                        .header_name = std::move(route.header_name),
                        .sources = std::move(route.sources),
                        .undecided = &parts.metrics.undecided(route.id)};
  for (DeploymentRoute& deployment : route.deployments) {
    if (deployment.is_disabled) continue;
    ServedModel& model = gateway.models[deployment.model];
    if (model.deployments.empty()) {
      model.name = deployment.model;
      model.created_at = deployment.created_at;
      model.turn = turn_of(previous, gateway.id, model.name);
    }
    model.created_at = std::min(model.created_at, deployment.created_at);
    model.deployments.push_back(build_deployment(deployment, gateway.id, parts));
  }
  gateway.model_list =
      draw_model_list(gateway, [](const ServedModel&) { return std::string_view{}; });
  return gateway;
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

RouteTable::RouteTable(std::vector<GatewayRoute> gateways, const RouteParts& parts,
                       const RouteTable* previous) {
  for (GatewayRoute& route : gateways) {
    for (const DeploymentRoute& deployment : route.deployments) {
      for (const ReplicaRoute& replica : deployment.ready_replicas) {
        endpoints_.push_back(replica.endpoint);
      }
    }
    const auto [place, is_new] =
        by_id_.try_emplace(route.id, build_gateway(route, parts, previous));
    if (!is_new) continue;
    for (const std::string& host : route.hosts) {
      by_host_.try_emplace(fold_host(host), &place->second);
    }
  }
  std::sort(endpoints_.begin(), endpoints_.end());
  endpoints_.erase(std::unique(endpoints_.begin(), endpoints_.end()), endpoints_.end());
}

void RouteTable::for_each_model(const std::function<void(const ServedModel&)>& visit) const {
  for (const auto& [id, gateway] : by_id_) {
    for (const auto& [name, model] : gateway.models) visit(model);
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
  return found == by_id_.end() ? nullptr : &found->second;
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
