#include "service/references.h"

#include <fmt/format.h>

#include <algorithm>

#include "service/endpoints.h"
#include "service/errors.h"
#include "service/owned.h"
#include "service/rules.h"
#include "service/violations.h"

namespace staithe::service {
namespace {

using store::Kind;
using StoredGateway = store::Versioned<model::Gateway>;

store::UniqueKey fence_key(const model::Id& gateway) {
  return {"gateway-fence", gateway};
}

store::Update replace_keys(const StoredGateway& gateway, std::vector<store::UniqueKey> keys) {
  return {.kind = Kind::gateway,
          .id = gateway.value.spec.id,
          .version = gateway.version,
          .spec = {},
          .status = {},
          .keys = std::move(keys)};
}

store::Step take_down_fence(const StoredGateway& gateway) {
  std::vector<store::UniqueKey> keys = gateway.keys;
  std::erase(keys, fence_key(gateway.value.spec.id));
  return replace_keys(gateway, std::move(keys));
}

store::Step pin(const StoredGateway& gateway) {
  if (is_fenced(gateway)) return take_down_fence(gateway);
  return store::Expect{
      .kind = Kind::gateway, .id = gateway.value.spec.id, .version = gateway.version};
}

}  // namespace

bool offers(const model::Catalogue& catalogue, const std::vector<std::string>& zones,
            std::string_view instance_type) {
  const std::vector<std::string>& considered = zones.empty() ? catalogue.zones : zones;
  return std::any_of(considered.begin(), considered.end(),
                     [&catalogue, instance_type](const std::string& zone) {
                       return catalogue.offers(zone, instance_type);
                     });
}

Result<store::Transaction> pin_gateways(store::Store& store, const Caller& caller,
                                        const model::Catalogue& catalogue,
                                        const model::DeploymentSpec& spec) {
  store::Transaction steps;
  bool is_offered = true;
  for (const model::Id& id : spec.gateway_ids) {
    TRY_ASSIGN(const StoredGateway gateway,
               owned(store::get_gateway(store, id), caller, Kind::gateway, id));
    if (gateway.value.status.status == model::Status::deleting) {
      return errors::deleting(Kind::gateway, id);
    }
    is_offered =
        is_offered && offers(catalogue, gateway.value.spec.zones, spec.resources.instance_type);
    steps.push_back(pin(gateway));
  }
  if (!is_offered) {
    Violations violations;
    violations.add("resources.instanceType",
                   fmt::format("{} is not available in the zones of the selected gateways",
                               rules::quoted(spec.resources.instance_type)));
    TRY(std::move(violations).result());
  }
  return steps;
}

bool is_fenced(const StoredGateway& gateway) {
  return std::find(gateway.keys.begin(), gateway.keys.end(), fence_key(gateway.value.spec.id)) !=
         gateway.keys.end();
}

store::Step put_up_fence(const StoredGateway& gateway) {
  std::vector<store::UniqueKey> keys = gateway.keys;
  keys.push_back(fence_key(gateway.value.spec.id));
  return replace_keys(gateway, std::move(keys));
}

Result<std::vector<model::Deployment>> deployments_on(store::Store& store,
                                                      const model::Gateway& gateway) {
  TRY_ASSIGN(auto deployments, store::list_deployments(store, gateway.spec.organization_id));
  std::vector<model::Deployment> found;
  for (auto& deployment : deployments) {
    const std::vector<model::Id>& ids = deployment.value.spec.gateway_ids;
    const bool is_on_it = std::find(ids.begin(), ids.end(), gateway.spec.id) != ids.end();
    if (is_on_it && deployment.value.status.status != model::Status::deleting) {
      found.push_back(std::move(deployment.value));
    }
  }
  return found;
}

std::vector<store::UniqueKey> gateway_keys(const model::Gateway& gateway,
                                           const EndpointTemplate& endpoints) {
  std::vector<store::UniqueKey> keys = store::keys_of(gateway);
  const std::string host = main_host(gateway.spec.name, gateway.spec.organization_id, endpoints);
  if (!host.empty()) keys.push_back(store::dns_key(host));
  return keys;
}

}  // namespace staithe::service
