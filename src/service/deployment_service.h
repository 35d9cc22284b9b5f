#pragma once

#include <optional>

#include "base/clock.h"
#include "base/random.h"
#include "coreweave/inference/v1alpha1/deployment.pb.h"
#include "model/catalogue_slot.h"
#include "service/caller.h"
#include "service/options.h"
#include "store/decoded_cache.h"
#include "store/store.h"

namespace staithe::service {

// The six operations on deployments. Any thread; reads block for the store, writes answer on the
// store's thread. What it is made from outlives it.
class DeploymentService {
 public:
  DeploymentService(store::Store& store, const Clock& clock, Random& random,
                    const model::CatalogueSlot& catalogue, ServiceOptions options);

  void list(const Caller& caller, const pb::ListDeploymentsRequest& request,
            Done<pb::ListDeploymentsResponse> done);
  void get(const Caller& caller, const pb::GetDeploymentRequest& request,
           Done<pb::GetDeploymentResponse> done);
  // The answer of get() if it is at hand without waiting.
  std::optional<Result<pb::GetDeploymentResponse>> get_at_hand(
      const Caller& caller, const pb::GetDeploymentRequest& request);
  void create(const Caller& caller, const pb::CreateDeploymentRequest& request,
              Done<pb::CreateDeploymentResponse> done);
  void update(const Caller& caller, const pb::UpdateDeploymentRequest& request,
              Done<pb::UpdateDeploymentResponse> done);
  void remove(const Caller& caller, const pb::DeleteDeploymentRequest& request,
              Done<pb::DeleteDeploymentResponse> done);
  void parameters(const Caller& caller, const pb::GetDeploymentParametersRequest& request,
                  Done<pb::GetDeploymentParametersResponse> done);

  // What create() and update() would store, or the refusal they would answer. Nothing is written.
  Result<model::Deployment> preview(const Caller& caller,
                                    const pb::CreateDeploymentRequest& request);
  Result<model::Deployment> preview(const Caller& caller,
                                    const pb::UpdateDeploymentRequest& request);

 private:
  // A deployment as it would be, and the steps that make it so: none if nothing changes.
  struct Draft {
    model::Deployment resource;
    store::Transaction transaction;
  };
  // Of a request that the rules allow.
  Result<model::Deployment> new_deployment(const Caller& caller,
                                           const pb::CreateDeploymentRequest& request);
  Result<model::DeploymentSpec> wanted_spec(const Caller& caller,
                                            const pb::UpdateDeploymentRequest& request);
  // What is stored allows it as well.
  Result<Draft> draft_creation(const Caller& caller, const model::Deployment& deployment);
  Result<Draft> draft_update(const Caller& caller, const model::DeploymentSpec& wanted);

  store::Store& store_;
  const Clock& clock_;
  Random& random_;
  const model::CatalogueSlot& catalogue_;
  const ServiceOptions options_;
  store::DecodedCache<model::Deployment> at_hand_{store::Kind::deployment,
                                                  store::decode_deployment};
};

}  // namespace staithe::service
