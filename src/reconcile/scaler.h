#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "model/catalogue.h"
#include "model/deployment.h"
#include "reconcile/autoscale.h"
#include "reconcile/replica_states.h"
#include "reconcile/serving.h"
#include "reconcile/world.h"

namespace staithe::reconcile {

// How many replicas each deployment is to have by what its gateways count; the decision itself is
// autoscale(). Only deployments with something to decide are looked at: those whose gateways have
// requests, those on their way from one number to another, and those that were touched. What it
// knows is of this process: after a restart a deployment keeps the replicas it has until demand has
// been watched for a while. One thread.
class Scaler {
 public:
  Scaler(const Clock& clock, const World& world, const ReplicaStates& states,
         const model::Catalogue& catalogue, const Hooks& hooks, const ScaleOptions& options)
      : clock_(clock),
        world_(world),
        states_(states),
        catalogue_(catalogue),
        hooks_(hooks),
        options_(options) {}

  struct Verdict {
    std::uint32_t wanted = 0;  // within the deployment's own bounds
    bool is_at_max = false;
    std::string reason;
    std::optional<double> demand;  // requests at once; absent: not known
    std::uint32_t target = 0;      // requests at once per replica
  };
  // By what was decided last. The deployment need not be stored like this.
  Verdict verdict(const model::Deployment& deployment) const;

  // Its spec or its replicas may have changed.
  void touch(const model::Id& deployment_id) { touched_.insert(deployment_id); }

  // Decides anew where that is due. The deployments for which the verdict changed.
  std::set<model::Id> evaluate();
  // When evaluate() will next have something to do.
  Instant next_due() const;

 private:
  bool is_scaled(const model::Deployment& deployment) const;
  ScaleInput input_for(const model::Deployment& deployment) const;
  bool evaluate(const model::Deployment& deployment);

  const Clock& clock_;
  const World& world_;
  const ReplicaStates& states_;
  const model::Catalogue& catalogue_;
  const Hooks& hooks_;
  const ScaleOptions& options_;
  std::map<model::Id, ScaleState> scaled_;  // deployments whose number may change
  std::set<model::Id> due_;                 // of those, the ones that asked to be looked at again
  std::set<model::Id> touched_;
  Instant next_look_ = Instant::min();
};

// Requests at once that a replica is for: what the deployment says, else its engine's default.
std::uint32_t concurrency_of(const model::DeploymentSpec& spec, const model::Catalogue& catalogue);

}  // namespace staithe::reconcile
