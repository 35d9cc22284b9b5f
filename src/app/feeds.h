#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "auth/token_table.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "gateway/limits.h"
#include "gateway/route_table_slot.h"
#include "model/deployment.h"
#include "model/gateway.h"
#include "reconcile/serving.h"
#include "store/store.h"

namespace staithe::app {

// Turns changes of the store, and of what reconcile sees running, into the immutable snapshots that
// the data plane and authentication read: token table, route table and limits. It is the one path
// from the store to the gateway, on a thread of its own, so that a slow or dead database leaves the
// last snapshots in force.
//
// Woken by the store and by serving(); also looks at the feed every second, because another process
// (`staithe token`) may have written. A change costs what its gateways have of deployments, however
// many others there are.
class Feeds {
 public:
  struct Settings {
    std::string domain;  // of gateways' host names; empty: they have none
    // How much everybody may use for whom nothing else was set.
    gateway::LimitRule each_organization;
    gateway::LimitRule each_token;
  };
  Feeds(const Clock& clock, store::Store& store, auth::TokenTable& tokens,
        gateway::RouteTableSlot& routes, gateway::LimitBook& limits, const Log& log,
        std::vector<auth::Token> bootstrap_tokens, Settings settings);
  ~Feeds();
  Feeds(const Feeds&) = delete;
  Feeds& operator=(const Feeds&) = delete;

  // Reads everything once and publishes it, then follows the feed.
  Result<void> start();
  void stop();

  // The ready replicas of a deployment, as reconcile last saw them. Any thread.
  void serving(const model::Id& deployment_id, std::vector<reconcile::ServingReplica> replicas);

  // True once no loop chooses this replica any more and the last request at it is over. Any thread.
  bool is_drained(const model::Id& replica_id) const;

  // The newest routes were made knowing that this replica serves. Any thread.
  bool is_routed(const model::Id& replica_id) const;

  // What the gateways have counted for a deployment, and which ones have requests, or had since
  // this was asked last. For the control thread alone.
  std::optional<reconcile::DemandReading> demand(const model::Id& deployment_id) const;
  std::vector<model::Id> active_deployments() const;

 private:
  // What the data plane goes by, of all that a deployment is.
  struct RoutedDeployment {
    gateway::DeploymentRoute route;  // without its replicas
    std::vector<model::Id> gateway_ids;
    bool operator==(const RoutedDeployment&) const = default;
  };

  void run();
  Result<void> refresh();
  Result<void> follow_store();
  Result<void> reload();
  Result<void> take(const store::Change& change);
  void take_gateway(const model::Id& id, std::optional<gateway::GatewayRoute> after);
  void take_deployment(const model::Id& id, std::optional<RoutedDeployment> after);
  Result<void> publish_tokens();
  Result<void> publish_limits();
  void publish_routes();
  void take_serving();
  void rebuild(const model::Id& gateway_id);
  void note_replicas(const model::Id& deployment_id);
  gateway::GatewayRoute route_of(const model::Gateway& gateway) const;
  static RoutedDeployment routed(const model::Deployment& deployment);

  const Clock& clock_;
  store::Store& store_;
  auth::TokenTable& tokens_;
  gateway::RouteTableSlot& routes_;
  gateway::LimitBook& limits_;
  const Log& log_;
  const std::vector<auth::Token> bootstrap_tokens_;
  const Settings settings_;

  // Of the feed's thread (and start()).
  std::uint64_t revision_ = 0;
  std::map<model::Id, gateway::GatewayRoute> gateways_;                // without their deployments
  std::unordered_map<model::Id, RoutedDeployment> deployments_;        // there may be very many
  std::unordered_map<model::Id, std::set<model::Id>> deployments_at_;  // by gateway
  std::unordered_map<model::Id, std::vector<reconcile::ServingReplica>> serving_;
  // What is in force, and what of it has changed since it was made.
  std::map<model::Id, std::shared_ptr<const gateway::GatewayRoute>> published_;
  std::set<model::Id> stale_gateways_;
  std::set<model::Id> stale_deployments_;
  bool are_all_stale_ = false;
  bool are_tokens_stale_ = false;
  bool are_limits_stale_ = false;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool is_woken_ = false;
  bool is_stopping_ = false;
  std::map<model::Id, std::vector<reconcile::ServingReplica>> new_serving_;  // not yet published
  // Serving replicas as the newest table has them: whether they are in it, or drained when it was
  // made.
  std::unordered_map<model::Id, bool> is_chosen_from_;
  std::unordered_map<model::Id, std::vector<model::Id>> replicas_of_;  // of is_chosen_from_
  std::uint64_t published_generation_ = 0;

  std::unique_ptr<store::Store::Subscription> subscription_;
  Thread thread_;
};

}  // namespace staithe::app
