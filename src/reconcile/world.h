#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "model/capacity_claim.h"
#include "model/deployment.h"
#include "model/gateway.h"
#include "model/node.h"
#include "reconcile/fleet.h"
#include "reconcile/key.h"
#include "store/records.h"
#include "store/store.h"

namespace staithe::reconcile {

// The store's records as values with the indexes that reconcilers ask for, kept up by the change
// feed, so that a pass reads nothing from disk. It may be behind the store: whoever writes by it
// hands back the versions and finds out. One thread.
class World {
 public:
  template <typename T>
  using Table = std::map<model::Id, store::Versioned<T>>;

  World(store::Store& store, const Log& log) : store_(store), log_(log) {}

  // Takes over what changed. On an error it may have taken over some of it, and the next call does
  // the rest; nothing may be concluded from what is missing until then.
  Result<void> refresh();

  // Takes over what became of one record (absent: it is gone), as refresh() does with those of the
  // store.
  template <typename T>
  void take_over(const model::Id& id, std::optional<store::Versioned<T>> after);

  // The keys that should be looked at because of what refresh() took over since the last call.
  std::set<Key> take_touched() { return std::exchange(touched_, {}); }
  // True if some of it may let one that waits for capacity go on.
  bool take_capacity_changed() { return std::exchange(is_capacity_changed_, false); }

  // What is free on every machine that may be used: of claims for their organization, the unclaimed
  // managed ones for everyone. Always up to date; who changes it on trial takes that back.
  Fleet& fleet() { return fleet_; }
  // What refresh() took over since the last call, for those who keep up what follows from it.
  struct News {
    std::set<model::Id> claims;       // they, or their nodes
    std::set<model::Id> deployments;  // they, where they may run, or their replicas' homes
    std::set<model::Id> nodes;        // they, or what is on them
    std::set<model::Id> created_replicas;
    bool is_fleet_changed = false;  // otherwise than by these
  };
  News take_news() { return std::exchange(news_, {}); }

  const Table<model::CapacityClaim>& claims() const { return claims_; }
  const Table<model::Gateway>& gateways() const { return gateways_; }
  const Table<model::Deployment>& deployments() const { return deployments_; }
  const Table<model::Node>& nodes() const { return nodes_; }
  const Table<model::Replica>& replicas() const { return replicas_; }

  const store::Versioned<model::CapacityClaim>* find_claim(const model::Id& id) const;
  const store::Versioned<model::Gateway>* find_gateway(const model::Id& id) const;
  const store::Versioned<model::Deployment>* find_deployment(const model::Id& id) const;
  const store::Versioned<model::Node>* find_node(const model::Id& id) const;
  const store::Versioned<model::Replica>* find_replica(const model::Id& id) const;

  const std::set<model::Id>& replicas_of(const model::Id& deployment_id) const;
  const std::set<model::Id>& replicas_on(const model::Id& node_id) const;
  const std::set<model::Id>& deployments_at(const model::Id& gateway_id) const;
  // Deployments of an organization that serve the same model name.
  const std::set<model::Id>& deployments_of_model(const model::Id& organization,
                                                  const model::Id& model_name) const;
  // Zones in which another deployment of the organization has a replica of the same weights, so
  // that they are likely to be at hand there.
  std::set<std::string> zones_with_weights(const model::DeploymentSpec& spec) const;
  // The claim that holds a node; empty if none does.
  model::Id holder_of(const model::Id& node_id) const;
  // Rises with every change of a node's record.
  std::uint64_t node_changes() const { return node_changes_; }

  // An administrator wants the node emptied, or has removed it. A machine that is merely lost keeps
  // its record while it is in use, and is not given up.
  bool is_given_up(const model::Id& node_id) const;

  // Machines that no listing of the driver names and that are not believed to be lost yet: what has
  // them keeps them, and nobody else gets them.
  void set_doubted(std::set<model::Id> node_ids);
  // Whether somebody may get a machine that is free.
  bool is_available(const model::Node& node) const {
    return node.is_usable() && !doubted_.contains(node.id);
  }

  // A record that exists but does not parse. It is in no table, and nothing may be concluded from
  // that.
  bool is_unreadable(store::Kind kind, const model::Id& id) const {
    return unreadable_.contains(Key{kind, id});
  }

  bool is_any_unreadable(store::Kind kind) const {
    const auto first = unreadable_.lower_bound(Key{kind, {}});
    return first != unreadable_.end() && first->kind == kind;
  }

  // Every resource there is.
  std::vector<Key> keys() const;

 private:
  // Organization, bucket and path.
  using WeightsKey = std::tuple<model::Id, std::string, std::string>;
  // What one replica has where.
  struct WeightsPlace {
    WeightsKey weights;
    model::Id deployment_id;
    std::string zone;
    bool operator==(const WeightsPlace&) const = default;
  };

  static WeightsKey weights_of(const model::DeploymentSpec& spec);
  Result<void> relist();
  Result<void> take(const store::Change& change);
  void put(store::Kind kind, const model::Id& id, const store::Record* record);
  template <typename T, typename Decode>
  void put_in(Table<T>& table, const Key& key, const store::Record* record, Decode decode);
  template <typename T>
  Table<T>& table();

  // Moves the indexes from `before` to `after` (null: not there) and notes whom that concerns.
  void turn(const model::CapacityClaim* before, const model::CapacityClaim* after);
  void turn(const model::Gateway* before, const model::Gateway* after);
  void turn(const model::Deployment* before, const model::Deployment* after);
  void turn(const model::Node* before, const model::Node* after);
  void turn(const model::Replica* before, const model::Replica* after);
  void touch_deployment(const model::Id& id);
  void touch_claim_users(const model::CapacityClaim& claim);
  // Tells the fleet what a node is now.
  void place_node(const model::Id& id);
  void place_node(const model::Id& id, const model::CapacityClaim* user);
  void touch_relatives(const model::Deployment& deployment);
  // Notes where a replica has its weights now, and whose choice of a zone that concerns.
  void place_weights(const model::Id& replica_id);
  void move_weights(const WeightsPlace& place, bool is_there);

  store::Store& store_;
  const Log& log_;
  bool is_loaded_ = false;
  std::uint64_t revision_ = 0;

  Table<model::CapacityClaim> claims_;
  Table<model::Gateway> gateways_;
  Table<model::Deployment> deployments_;
  Table<model::Node> nodes_;
  Table<model::Replica> replicas_;
  std::set<Key> unreadable_;
  std::set<model::Id> doubted_;

  // Who has or may have one model's files.
  struct Weights {
    std::set<model::Id> deployments;  // that run them
    // Zones with replicas, by deployment.
    std::map<std::string, std::map<model::Id, std::uint32_t>> replicas_in;
  };
  std::map<WeightsKey, Weights> weights_;
  std::map<model::Id, WeightsPlace> weights_of_;  // by replica

  using Index = std::map<model::Id, std::set<model::Id>>;
  Index replicas_of_;
  Index replicas_on_;
  Index deployments_at_;
  std::map<std::pair<model::Id, model::Id>, std::set<model::Id>> deployments_of_model_;
  std::map<model::Id, model::Id> holder_of_;

  Fleet fleet_;
  std::uint64_t node_changes_ = 0;
  std::set<Key> touched_;
  News news_;
  bool is_capacity_changed_ = false;
};

}  // namespace staithe::reconcile
