#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "coreweave/inference/v1alpha1/deployment.pb.h"
#include "model/catalogue.h"
#include "service/caller.h"
#include "service/options.h"

namespace staithe::service {

// Every rule that needs the request and the catalogue and nothing that is stored. Whether the
// gateways offer the instance type is a question to the stored gateways (references.h).
Result<void> validate(const pb::CreateDeploymentRequest& request, const model::Catalogue& catalogue,
                      const ServiceOptions& options);
Result<void> validate(const pb::UpdateDeploymentRequest& request, const model::Catalogue& catalogue,
                      const ServiceOptions& options);

// The version a deployment gets that names none: the newest plain x.y.z of the engine, else "".
std::string default_version(std::string_view engine, const model::Catalogue& catalogue);

}  // namespace staithe::service
