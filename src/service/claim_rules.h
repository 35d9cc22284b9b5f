#pragma once

#include "base/result.h"
#include "coreweave/inference/v1alpha1/capacity_claim.pb.h"
#include "model/catalogue.h"
#include "service/caller.h"
#include "service/options.h"

namespace staithe::service {

// Every rule that needs the request and the catalogue and nothing that is stored.
Result<void> validate(const pb::CreateCapacityClaimRequest& request,
                      const model::Catalogue& catalogue, const ServiceOptions& options);
Result<void> validate(const pb::UpdateCapacityClaimRequest& request,
                      const model::Catalogue& catalogue, const ServiceOptions& options);

}  // namespace staithe::service
