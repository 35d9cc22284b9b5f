#pragma once

#include <optional>

#include "base/clock.h"
#include "base/random.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "model/catalogue_slot.h"
#include "service/caller.h"
#include "service/options.h"
#include "store/decoded_cache.h"
#include "store/store.h"

namespace staithe::service {

// The six operations on gateways. Any thread; reads block for the store, writes answer on the
// store's thread. What it is made from outlives it.
class GatewayService {
 public:
  GatewayService(store::Store& store, const Clock& clock, Random& random,
                 const model::CatalogueSlot& catalogue, ServiceOptions options);

  void list(const Caller& caller, const pb::ListGatewaysRequest& request,
            Done<pb::ListGatewaysResponse> done);
  void get(const Caller& caller, const pb::GetGatewayRequest& request,
           Done<pb::GetGatewayResponse> done);
  // The answer of get() if it is at hand without waiting.
  std::optional<Result<pb::GetGatewayResponse>> get_at_hand(const Caller& caller,
                                                            const pb::GetGatewayRequest& request);
  void create(const Caller& caller, const pb::CreateGatewayRequest& request,
              Done<pb::CreateGatewayResponse> done);
  void update(const Caller& caller, const pb::UpdateGatewayRequest& request,
              Done<pb::UpdateGatewayResponse> done);
  void remove(const Caller& caller, const pb::DeleteGatewayRequest& request,
              Done<pb::DeleteGatewayResponse> done);
  void parameters(const Caller& caller, const pb::GetGatewayParametersRequest& request,
                  Done<pb::GetGatewayParametersResponse> done);

  // Gives every gateway of the installation the endpoints that today's options say, for a server
  // that starts at another address than before. Blocks; before the first call is answered.
  Result<void> refresh_endpoints();

 private:
  store::Store& store_;
  const Clock& clock_;
  Random& random_;
  const model::CatalogueSlot& catalogue_;
  const ServiceOptions options_;
  store::DecodedCache<model::Gateway> at_hand_{store::Kind::gateway, store::decode_gateway};
};

}  // namespace staithe::service
