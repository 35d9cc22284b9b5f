#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/catalogue.h"
#include "model/deployment.h"
#include "model/gateway.h"
#include "service/caller.h"
#include "service/options.h"
#include "store/records.h"
#include "store/store.h"

// Deployments refer to gateways, and both sides may change at the same moment: no deployment may
// end up on a gateway that is going, or that no longer offers its instance type.
//
// A write of a deployment pins the versions of its gateways (store::Expect), so it fails if one of
// them was deleted or narrowed since it looked. The other direction needs more, for a gateway does
// not know its deployments. Whoever wants to delete or narrow a gateway first puts up a fence, a
// unique key on its record that no one sees, and looks for deployments after that. A write of a
// deployment that meets a fence takes it down, which changes the gateway's version and makes the
// other side look again. A fence that was left standing harms nobody. Thus deployments on one
// gateway are created without getting into each other's way.
namespace staithe::service {

// True when one of a gateway's zones (none: every zone) offers the type.
bool offers(const model::Catalogue& catalogue, const std::vector<std::string>& zones,
            std::string_view instance_type);

// Looks up the gateways of a spec: NOT_FOUND, FAILED_PRECONDITION if one is being deleted,
// INVALID_ARGUMENT if one does not offer the instance type. The steps pin them.
Result<store::Transaction> pin_gateways(store::Store& store, const Caller& caller,
                                        const model::Catalogue& catalogue,
                                        const model::DeploymentSpec& spec);

bool is_fenced(const store::Versioned<model::Gateway>& gateway);
store::Step put_up_fence(const store::Versioned<model::Gateway>& gateway);

// The deployments on a gateway, those on their way out aside. Final only if `gateway` was read with
// its fence up and is then committed at that version.
Result<std::vector<model::Deployment>> deployments_on(store::Store& store,
                                                      const model::Gateway& gateway);

// The names a gateway holds: its own and its host names, the main one included, so that nobody
// else's additional DNS name can take its callers away. No fence.
std::vector<store::UniqueKey> gateway_keys(const model::Gateway& gateway,
                                           const EndpointTemplate& endpoints);

}  // namespace staithe::service
