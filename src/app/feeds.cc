#include "app/feeds.h"

#include <optional>
#include <utility>
#include <vector>

#include "auth/token_record.h"
#include "base/encoding.h"
#include "base/ip_range.h"
#include "store/records.h"

namespace staithe::app {
namespace {

constexpr std::size_t changes_per_read_max = 1000;
constexpr std::chrono::seconds look_again_after{1};

// One that cannot be read lets nobody in, rather than everybody: no packet comes from the broadcast
// address (RFC 919 section 7).
IpRange range_of(const std::string& text) {
  return IpRange::parse(text).value_or(IpRange::parse("255.255.255.255").value());
}

gateway::Routing routing_of(const model::GatewaySpec& spec) {
  if (std::holds_alternative<model::HeaderBasedRouting>(spec.routing))
    return gateway::Routing::header;
  if (std::holds_alternative<model::PathBasedRouting>(spec.routing)) return gateway::Routing::path;
  return gateway::Routing::body;
}

gateway::LimitRule rule_of(const model::Limit& limit) {
  return {.requests_per_minute = limit.requests_per_minute,
          .tokens_per_minute = limit.tokens_per_minute,
          .parallel_requests = limit.parallel_requests,
          .models = limit.models};
}

}  // namespace

Feeds::Feeds(const Clock& clock, store::Store& store, auth::TokenTable& tokens,
             gateway::RouteTableSlot& routes, gateway::LimitBook& limits, const Log& log,
             std::vector<auth::Token> bootstrap_tokens, Settings settings)
    : clock_(clock),
      store_(store),
      tokens_(tokens),
      routes_(routes),
      limits_(limits),
      log_(log),
      bootstrap_tokens_(std::move(bootstrap_tokens)),
      settings_(std::move(settings)) {}

Feeds::~Feeds() {
  stop();
}

Result<void> Feeds::start() {
  TRY(reload());
  TRY(publish_tokens());
  TRY(publish_limits());
  publish_routes();
  subscription_ = store_.subscribe([this] {
    const std::lock_guard lock(mutex_);
    is_woken_ = true;
    wake_.notify_one();
  });
  thread_ = Thread("feeds", [this] { run(); });
  return {};
}

void Feeds::stop() {
  subscription_.reset();
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Feeds::serving(const model::Id& deployment_id,
                    std::vector<reconcile::ServingReplica> replicas) {
  const std::lock_guard lock(mutex_);
  new_serving_[deployment_id] = std::move(replicas);
  is_woken_ = true;
  wake_.notify_one();
}

bool Feeds::is_drained(const model::Id& replica_id) const {
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = is_chosen_from_.find(replica_id);
    if (!new_serving_.empty() || (found != is_chosen_from_.end() && found->second)) return false;
    generation = published_generation_;
  }
  return routes_.is_adopted(generation) && routes_.in_flight(replica_id) == 0;
}

bool Feeds::is_routed(const model::Id& replica_id) const {
  const std::lock_guard lock(mutex_);
  return is_chosen_from_.contains(replica_id);
}

std::optional<reconcile::DemandReading> Feeds::demand(const model::Id& deployment_id) const {
  const auto totals = routes_.demands().read(deployment_id, clock_);
  if (!totals) return std::nullopt;
  return reconcile::DemandReading{.at = totals->at,
                                  .started = totals->started,
                                  .ended = totals->ended,
                                  .busy_us = totals->busy_us,
                                  .highest = totals->highest};
}

std::vector<model::Id> Feeds::active_deployments() const {
  return routes_.demands().active();
}

void Feeds::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    wake_.wait_for(lock, look_again_after, [this] { return is_woken_ || is_stopping_; });
    if (is_stopping_) return;
    is_woken_ = false;
    lock.unlock();
    if (auto done = refresh(); !done) {
      log_.warning("the store does not answer; serving what was known",
                   {{"error", done.error().message}});
    }
    lock.lock();
  }
}

Result<void> Feeds::refresh() {
  Result<void> followed = follow_store();
  // Engines come and go whether or not the store answers.
  publish_routes();
  return followed;
}

Result<void> Feeds::follow_store() {
  while (true) {
    TRY_ASSIGN(const store::Changes changes, store_.changes_since(revision_, changes_per_read_max));
    if (changes.lost) {
      TRY(reload());
    } else {
      for (const store::Change& change : changes.changes) TRY(take(change));
      revision_ = changes.revision;
    }
    if (changes.changes.size() < changes_per_read_max) break;
  }
  if (are_tokens_stale_) TRY(publish_tokens());
  if (are_limits_stale_) TRY(publish_limits());
  return {};
}

Result<void> Feeds::reload() {
  // The revision is read first: what changes meanwhile is seen twice rather than never.
  TRY_ASSIGN(const store::Changes changes, store_.changes_since(UINT64_MAX, 1));
  std::optional<Error> unreadable;
  decltype(gateways_) gateways;
  decltype(deployments_) deployments;
  TRY(store_.each([&](const store::Record& record) {
    if (record.kind == store::Kind::gateway) {
      auto gateway = store::decode_gateway(record);
      if (gateway) {
        gateways.emplace(record.id, route_of(gateway->value));
      } else if (!unreadable) {
        unreadable = std::move(gateway).error();
      }
    } else if (record.kind == store::Kind::deployment) {
      auto deployment = store::decode_deployment_headline(record);
      if (deployment) {
        deployments.emplace(record.id, routed(deployment->value));
      } else if (!unreadable) {
        unreadable = std::move(deployment).error();
      }
    }
  }));
  if (unreadable) return *std::move(unreadable);
  gateways_ = std::move(gateways);
  deployments_ = std::move(deployments);
  deployments_at_.clear();
  for (const auto& [id, deployment] : deployments_) {
    for (const model::Id& gateway_id : deployment.gateway_ids) {
      deployments_at_[gateway_id].insert(id);
    }
  }
  are_tokens_stale_ = true;
  are_limits_stale_ = true;
  are_all_stale_ = true;
  revision_ = changes.revision;
  return {};
}

Result<void> Feeds::take(const store::Change& change) {
  if (change.kind == store::Kind::token) {
    are_tokens_stale_ = true;
  } else if (change.kind == store::Kind::limit) {
    are_limits_stale_ = true;
  } else if (change.kind == store::Kind::gateway) {
    TRY_ASSIGN(const auto gateway, store::get_gateway(store_, change.id));
    take_gateway(change.id, gateway ? std::optional(route_of(gateway->value)) : std::nullopt);
  } else if (change.kind == store::Kind::deployment) {
    TRY_ASSIGN(const auto deployment, store::get_deployment(store_, change.id));
    take_deployment(change.id,
                    deployment ? std::optional(routed(deployment->value)) : std::nullopt);
  }
  return {};
}

// Most changes of a record are news of its status, which no route is made of.
void Feeds::take_gateway(const model::Id& id, std::optional<gateway::GatewayRoute> after) {
  const auto found = gateways_.find(id);
  if (after ? found != gateways_.end() && found->second == *after : found == gateways_.end()) {
    return;
  }
  stale_gateways_.insert(id);
  if (after) {
    gateways_.insert_or_assign(id, *std::move(after));
  } else {
    gateways_.erase(found);
  }
}

void Feeds::take_deployment(const model::Id& id, std::optional<RoutedDeployment> after) {
  const auto found = deployments_.find(id);
  if (after ? found != deployments_.end() && found->second == *after
            : found == deployments_.end()) {
    return;
  }
  stale_deployments_.insert(id);
  if (found != deployments_.end()) {
    for (const model::Id& gateway_id : found->second.gateway_ids) {
      const auto at = deployments_at_.find(gateway_id);
      if (at == deployments_at_.end()) continue;  // named twice
      at->second.erase(id);
      if (at->second.empty()) deployments_at_.erase(at);
      stale_gateways_.insert(gateway_id);
    }
  }
  if (!after) {
    deployments_.erase(found);
    return;
  }
  for (const model::Id& gateway_id : after->gateway_ids) {
    deployments_at_[gateway_id].insert(id);
    stale_gateways_.insert(gateway_id);
  }
  deployments_.insert_or_assign(id, *std::move(after));
}

Result<void> Feeds::publish_tokens() {
  TRY_ASSIGN(const std::vector<store::Record> records, store_.list(store::Kind::token));
  std::vector<auth::Token> tokens = bootstrap_tokens_;
  for (const store::Record& record : records) {
    auto token = auth::decode_token(record.spec);
    if (!token) {
      // One damaged row must not lock everybody else out.
      log_.error("a stored token cannot be read and is ignored", {{"token", record.id}});
      continue;
    }
    tokens.push_back(*std::move(token));
  }
  tokens_.replace(std::make_shared<const auth::TokenSnapshot>(std::move(tokens)));
  are_tokens_stale_ = false;
  return {};
}

Result<void> Feeds::publish_limits() {
  TRY_ASSIGN(const std::vector<store::Record> records, store_.list(store::Kind::limit));
  gateway::LimitRules rules;
  rules.each_organization = settings_.each_organization;
  rules.each_token = settings_.each_token;
  for (const store::Record& record : records) {
    auto limit = store::decode_limit(record);
    if (!limit) {
      // The defaults hold for that one.
      log_.error("a stored limit cannot be read and is ignored", {{"limit", record.id}});
      continue;
    }
    model::Limit& value = limit->value;
    gateway::LimitRule rule = rule_of(value);
    if (value.token_id.empty()) {
      rules.organizations.insert_or_assign(std::move(value.organization_id), std::move(rule));
    } else {
      rules.tokens.insert_or_assign({std::move(value.organization_id), std::move(value.token_id)},
                                    std::move(rule));
    }
  }
  limits_.set_rules(std::move(rules));
  are_limits_stale_ = false;
  return {};
}

gateway::GatewayRoute Feeds::route_of(const model::Gateway& gateway) const {
  gateway::GatewayRoute route;
  route.id = gateway.spec.id;
  route.name = gateway.spec.name;
  route.organization = gateway.spec.organization_id;
  route.auth = std::holds_alternative<model::CoreWeaveAuth>(gateway.spec.auth)
                   ? gateway::AuthKind::coreweave
                   : gateway::AuthKind::weights_and_biases;
  route.routing = routing_of(gateway.spec);
  if (const auto* header = std::get_if<model::HeaderBasedRouting>(&gateway.spec.routing)) {
    route.header_name = header->header_name;
  }
  if (gateway.spec.endpoint_configuration) {
    route.hosts = gateway.spec.endpoint_configuration->additional_dns;
    for (const std::string& text : gateway.spec.endpoint_configuration->allowed_source_ip_ranges) {
      route.sources.push_back(range_of(text));
    }
  }
  if (const std::string& domain = settings_.domain; !domain.empty()) {
    route.hosts.push_back(to_lower(gateway.spec.name) + "." + gateway.spec.organization_id + "." +
                          domain.substr(0, domain.find(':')));
  }
  return route;
}

Feeds::RoutedDeployment Feeds::routed(const model::Deployment& deployment) {
  return {.route = {.id = deployment.spec.id,
                    .model = deployment.spec.model.name,
                    .weight = deployment.spec.traffic.weight,
                    .is_disabled = deployment.spec.disabled ||
                                   deployment.status.status == model::Status::deleting,
                    .created_at = deployment.status.created_at,
                    .concurrency = deployment.spec.autoscaling.concurrency,
                    .ready_replicas = {}},
          .gateway_ids = deployment.spec.gateway_ids};
}

void Feeds::publish_routes() {
  take_serving();
  if (!are_all_stale_ && stale_gateways_.empty() && stale_deployments_.empty()) return;
  if (are_all_stale_) {
    published_.clear();
    for (const auto& [id, gateway] : gateways_) rebuild(id);
  } else {
    for (const model::Id& id : stale_gateways_) rebuild(id);
  }
  gateway::GatewayRoutes table;
  table.reserve(published_.size());
  for (const auto& [id, route] : published_) table.push_back(route);
  const std::uint64_t generation = routes_.publish(table);

  {
    const std::lock_guard lock(mutex_);
    if (are_all_stale_) {
      is_chosen_from_.clear();
      replicas_of_.clear();
      for (const auto& [id, replicas] : serving_) note_replicas(id);
    } else {
      for (const model::Id& id : stale_deployments_) note_replicas(id);
    }
    published_generation_ = generation;
  }
  stale_gateways_.clear();
  stale_deployments_.clear();
  are_all_stale_ = false;
}

void Feeds::take_serving() {
  decltype(new_serving_) news;
  {
    const std::lock_guard lock(mutex_);
    news.swap(new_serving_);
  }
  for (auto& [id, replicas] : news) {
    stale_deployments_.insert(id);
    if (const auto found = deployments_.find(id); found != deployments_.end()) {
      stale_gateways_.insert(found->second.gateway_ids.begin(), found->second.gateway_ids.end());
    }
    if (replicas.empty()) {
      serving_.erase(id);
    } else {
      serving_.insert_or_assign(id, std::move(replicas));
    }
  }
}

void Feeds::rebuild(const model::Id& gateway_id) {
  const auto gateway = gateways_.find(gateway_id);
  if (gateway == gateways_.end()) {
    published_.erase(gateway_id);
    return;
  }
  auto route = std::make_shared<gateway::GatewayRoute>(gateway->second);
  if (const auto at = deployments_at_.find(gateway_id); at != deployments_at_.end()) {
    for (const model::Id& id : at->second) {
      const gateway::DeploymentRoute& known = deployments_.at(id).route;
      if (known.is_disabled) continue;
      gateway::DeploymentRoute& deployment = route->deployments.emplace_back(known);
      const auto serving = serving_.find(id);
      if (serving == serving_.end()) continue;
      for (const reconcile::ServingReplica& replica : serving->second) {
        if (replica.is_draining) continue;
        deployment.ready_replicas.push_back(
            {.id = replica.id, .endpoint = {.host = replica.host, .port = replica.port}});
      }
    }
  }
  published_.insert_or_assign(gateway_id, std::move(route));
}

// Under the lock.
void Feeds::note_replicas(const model::Id& deployment_id) {
  if (const auto before = replicas_of_.find(deployment_id); before != replicas_of_.end()) {
    for (const model::Id& id : before->second) is_chosen_from_.erase(id);
    replicas_of_.erase(before);
  }
  const auto serving = serving_.find(deployment_id);
  if (serving == serving_.end()) return;
  const auto deployment = deployments_.find(deployment_id);
  const bool is_served = deployment != deployments_.end() && !deployment->second.route.is_disabled;
  for (const reconcile::ServingReplica& replica : serving->second) {
    is_chosen_from_[replica.id] = is_served && !replica.is_draining;
    replicas_of_[deployment_id].push_back(replica.id);
  }
}

}  // namespace staithe::app
