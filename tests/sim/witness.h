#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/capacity_claim.h"
#include "model/deployment.h"
#include "model/gateway.h"
#include "model/node.h"
#include "reconcile/serving.h"
#include "sim/disk.h"
#include "sim/machines.h"
#include "sim/stage.h"

namespace staithe::sim {

// What was known a moment ago may still be acted upon for so long: the driver looks late, a pass
// may be held up.
inline constexpr Duration propagation_max = std::chrono::seconds{20};

// Sees every commit, every start of a process and every list handed to the data plane, and holds
// each against the truth at that moment. What it mirrors of the store is for others to read.
class Witness {
 public:
  Witness(Stage& stage, store::Store& store, const Machines& machines)
      : stage_(stage), store_(store), machines_(machines) {}

  void see_commit(Writer writer, const store::Transaction& transaction);
  void see_start(const runtime::ReplicaSpec& spec);
  void see_serving(const model::Id& deployment_id,
                   const std::vector<reconcile::ServingReplica>& replicas);

  const std::map<model::Id, model::CapacityClaim>& claims() const { return claims_; }
  const std::map<model::Id, model::Gateway>& gateways() const { return gateways_; }
  const std::map<model::Id, model::Deployment>& deployments() const { return deployments_; }
  const std::map<model::Id, model::Node>& nodes() const { return nodes_; }
  const std::map<model::Id, model::Replica>& replicas() const { return replicas_; }
  std::optional<Instant> draining_since(const model::Id& replica_id) const;

  // Status writes of the loop, and those of them that anybody could have wanted.
  std::uint64_t status_writes = 0;
  std::uint64_t status_changes = 0;

 private:
  template <typename T>
  void look(std::map<model::Id, T>& mirror, Writer writer, const std::string& id,
            std::optional<T> now);
  void look_at_replica(const std::string& id, std::optional<model::Replica> now);
  void check_surge(const model::Id& deployment_id);
  template <typename T>
  void note_max(const T&) {}
  void note_max(const model::Deployment& deployment) {
    std::uint32_t& largest = largest_max_[deployment.spec.id];
    largest = std::max(largest, deployment.spec.autoscaling.max);
  }
  void check_step(Writer writer, const std::string& id, model::Status before, model::Status after);
  void check_conditions(const std::string& id, const model::StatusBase& status);
  void check_ready(const model::Deployment& deployment);
  void check_nodes(const model::CapacityClaim& claim);
  void fail(Invariant invariant, std::string what) {
    stage_.verdict.fail(invariant, std::move(what));
  }

  Stage& stage_;
  store::Store& store_;
  const Machines& machines_;
  std::map<model::Id, model::CapacityClaim> claims_;
  std::map<model::Id, model::Gateway> gateways_;
  std::map<model::Id, model::Deployment> deployments_;
  std::map<model::Id, model::Node> nodes_;
  std::map<model::Id, model::Replica> replicas_;
  std::map<model::Id, Instant> draining_since_;
  std::map<model::Id, std::uint32_t> largest_max_;  // that a deployment ever had
};

}  // namespace staithe::sim
