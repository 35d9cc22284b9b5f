#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "model/node.h"
#include "model/resource.h"

namespace staithe::reconcile {

// The order in which claims are served: the oldest first, then by id.
struct ClaimAge {
  Timestamp created_at;
  model::Id id;
  auto operator<=>(const ClaimAge&) const = default;
};

// A claim that has fewer nodes than it asks for.
struct WaitingClaim {
  ClaimAge age;
  std::string owner;               // of its nodes; empty: the platform
  std::string instance_type;       // folded
  std::vector<std::string> zones;  // folded, in its order, none twice
  std::uint32_t missing = 0;

  bool operator==(const WaitingClaim&) const = default;
};

// Who gets the nodes that are free, kept up change by change.
//
// The oldest waiting claim takes what it can use of them, zone by zone in its order, then the next
// one. So a claim that many nodes are missing for gets them one by one as they come free, and a
// younger and smaller one passes it only with nodes that no older one could use. To find out costs
// as much as there are nodes to give, however many claims wait. One thread.
class ClaimQueue {
 public:
  // A node that a claim may have: schedulable, held by nobody, with nothing on it.
  void set_free(const model::Node& node);
  // It is free no more; `holder` is the claim that holds it, if one does.
  void set_taken(const model::Id& node_id, const model::Id& holder);

  void set_waiting(const WaitingClaim& claim);
  void remove_waiting(const model::Id& claim_id);

  // The nodes that a claim may take now, in the order of its zones.
  const std::vector<model::Id>& share_of(const model::Id& claim_id);
  // Claims whose share has changed since the last call.
  std::set<model::Id> take_touched();

 private:
  struct Zone {
    std::set<model::Id> free;  // and in nobody's share
    std::set<ClaimAge> waiting;
    std::size_t promised_count = 0;  // of its free nodes, those in somebody's share
  };
  using Zones = std::map<std::string, Zone>;
  using PoolKey = std::pair<std::string, std::string>;  // owner and instance type
  struct Place {
    PoolKey pool;
    std::string zone;
    model::Id promised_to;  // empty: in nobody's share
  };

  void share_out();
  void share_out(Zones& zones);
  void take_share(Zones& zones, const WaitingClaim& claim);
  void forget_share(const model::Id& claim_id);
  void erase_if_empty(const PoolKey& pool, const std::string& zone);

  std::map<PoolKey, Zones> pools_;
  std::map<model::Id, Place> places_;
  std::map<model::Id, WaitingClaim> waiting_;
  std::map<model::Id, std::vector<model::Id>> shares_;  // never empty ones
  std::set<model::Id> touched_;
  bool is_stale_ = false;
};

}  // namespace staithe::reconcile
