#pragma once

#include <optional>

#include "base/clock.h"
#include "base/random.h"
#include "coreweave/inference/v1alpha1/capacity_claim.pb.h"
#include "model/catalogue_slot.h"
#include "service/caller.h"
#include "service/options.h"
#include "store/decoded_cache.h"
#include "store/store.h"

namespace staithe::service {

// The six operations on capacity claims. Any thread; reads block for the store, writes answer on
// the store's thread. What it is made from outlives it.
class ClaimService {
 public:
  ClaimService(store::Store& store, const Clock& clock, Random& random,
               const model::CatalogueSlot& catalogue, ServiceOptions options);

  void list(const Caller& caller, const pb::ListCapacityClaimsRequest& request,
            Done<pb::ListCapacityClaimsResponse> done);
  void get(const Caller& caller, const pb::GetCapacityClaimRequest& request,
           Done<pb::GetCapacityClaimResponse> done);
  // The answer of get() if it is at hand without waiting.
  std::optional<Result<pb::GetCapacityClaimResponse>> get_at_hand(
      const Caller& caller, const pb::GetCapacityClaimRequest& request);
  void create(const Caller& caller, const pb::CreateCapacityClaimRequest& request,
              Done<pb::CreateCapacityClaimResponse> done);
  void update(const Caller& caller, const pb::UpdateCapacityClaimRequest& request,
              Done<pb::UpdateCapacityClaimResponse> done);
  void remove(const Caller& caller, const pb::DeleteCapacityClaimRequest& request,
              Done<pb::DeleteCapacityClaimResponse> done);
  void parameters(const Caller& caller, const pb::GetCapacityClaimParametersRequest& request,
                  Done<pb::GetCapacityClaimParametersResponse> done);

  // What create() and update() would store, or the refusal they would answer. Nothing is written.
  Result<model::CapacityClaim> preview(const Caller& caller,
                                       const pb::CreateCapacityClaimRequest& request);
  Result<model::CapacityClaim> preview(const Caller& caller,
                                       const pb::UpdateCapacityClaimRequest& request);

 private:
  // A claim as it would be, and the steps that make it so: none if nothing changes.
  struct Draft {
    model::CapacityClaim resource;
    store::Transaction transaction;
  };
  // Of a request that the rules allow.
  Result<model::CapacityClaim> new_claim(const Caller& caller,
                                         const pb::CreateCapacityClaimRequest& request);
  // What is stored allows it as well.
  Result<Draft> draft_creation(const Caller& caller, const model::CapacityClaim& claim);
  Result<Draft> draft_update(const Caller& caller, const pb::UpdateCapacityClaimRequest& request);

  store::Store& store_;
  const Clock& clock_;
  Random& random_;
  const model::CatalogueSlot& catalogue_;
  const ServiceOptions options_;
  store::DecodedCache<model::CapacityClaim> at_hand_{store::Kind::claim, store::decode_claim};
};

}  // namespace staithe::service
