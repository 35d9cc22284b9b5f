#pragma once

#include "base/result.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "model/catalogue.h"
#include "service/caller.h"
#include "service/options.h"

namespace staithe::service {

// Every rule that needs the request, the organization's host names and the catalogue, and nothing
// that is stored.
Result<void> validate(const pb::CreateGatewayRequest& request, std::string_view organization,
                      const model::Catalogue& catalogue, const ServiceOptions& options);
Result<void> validate(const pb::UpdateGatewayRequest& request, std::string_view organization,
                      const model::Catalogue& catalogue, const ServiceOptions& options);

// Each name is one unique key of a transaction, so their number has a bound.
inline constexpr int additional_dns_max = 100;
inline constexpr int source_ip_ranges_max = 50;

}  // namespace staithe::service
