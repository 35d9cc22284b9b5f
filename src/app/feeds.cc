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

// Takes what a record says now (nothing: it is gone). Most changes of a record are news of its
// status, which no route is made of.
template <typename Table, typename T>
void put_in(Table& table, const model::Id& id, std::optional<T> after, bool& is_changed) {
  const auto found = table.find(id);
  if (!after) {
    is_changed |= found != table.end();
    table.erase(id);
  } else if (found == table.end()) {
    table.emplace(id, *std::move(after));
    is_changed = true;
  } else if (found->second != *after) {
    found->second = *std::move(after);
    is_changed = true;
  }
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
  if (replicas.empty()) {
    serving_.erase(deployment_id);
  } else {
    serving_[deployment_id] = std::move(replicas);
  }
  is_serving_changed_ = true;
  is_woken_ = true;
  wake_.notify_one();
}

bool Feeds::is_drained(const model::Id& replica_id) const {
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    if (is_serving_changed_ || published_replicas_.contains(replica_id)) return false;
    generation = published_generation_;
  }
  return routes_.is_adopted(generation) && routes_.in_flight(replica_id) == 0;
}

bool Feeds::is_routed(const model::Id& replica_id) const {
  const std::lock_guard lock(mutex_);
  return known_replicas_.contains(replica_id);
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
  bool is_serving_changed = false;
  {
    const std::lock_guard lock(mutex_);
    is_serving_changed = is_serving_changed_;
  }
  if (are_routes_stale_ || is_serving_changed) publish_routes();
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
  are_tokens_stale_ = true;
  are_limits_stale_ = true;
  are_routes_stale_ = true;
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
    put_in(gateways_, change.id, gateway ? std::optional(route_of(gateway->value)) : std::nullopt,
           are_routes_stale_);
  } else if (change.kind == store::Kind::deployment) {
    TRY_ASSIGN(const auto deployment, store::get_deployment(store_, change.id));
    put_in(deployments_, change.id,
           deployment ? std::optional(routed(deployment->value)) : std::nullopt, are_routes_stale_);
  }
  return {};
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
  std::map<model::Id, std::vector<reconcile::ServingReplica>> serving;
  {
    const std::lock_guard lock(mutex_);
    serving = serving_;
    is_serving_changed_ = false;
  }
  std::set<model::Id> known;
  for (const auto& [id, replicas] : serving) {
    for (const reconcile::ServingReplica& replica : replicas) known.insert(replica.id);
  }
  std::set<model::Id> replicas;
  std::map<model::Id, gateway::GatewayRoute> routes = gateways_;
  for (const auto& [id, deployment] : deployments_) {
    if (deployment.route.is_disabled) continue;
    gateway::DeploymentRoute route = deployment.route;
    if (const auto found = serving.find(id); found != serving.end()) {
      for (const reconcile::ServingReplica& replica : found->second) {
        if (replica.is_draining) continue;
        route.ready_replicas.push_back(
            {.id = replica.id, .endpoint = {.host = replica.host, .port = replica.port}});
        replicas.insert(replica.id);
      }
    }
    for (const model::Id& gateway_id : deployment.gateway_ids) {
      if (const auto found = routes.find(gateway_id); found != routes.end()) {
        found->second.deployments.push_back(route);
      }
    }
  }
  std::vector<gateway::GatewayRoute> table;
  table.reserve(routes.size());
  for (auto& [id, route] : routes) table.push_back(std::move(route));
  const std::uint64_t generation = routes_.publish(std::move(table));
  are_routes_stale_ = false;

  const std::lock_guard lock(mutex_);
  published_replicas_ = std::move(replicas);
  known_replicas_ = std::move(known);
  published_generation_ = generation;
}

}  // namespace staithe::app
