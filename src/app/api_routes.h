#pragma once

#include "base/worker_pool.h"
#include "service/claim_service.h"
#include "service/deployment_service.h"
#include "service/gateway_service.h"
#include "wire/method.h"

namespace staithe::app {

// The three services of the API over one store.
struct Services {
  service::ClaimService claims;
  service::GatewayService gateways;
  service::DeploymentService deployments;
};

// The table of all eighteen RPCs: its line says in which service a method is, how REST spells it,
// which role it needs and who does it. Their blocking part runs on `workers`; a full pool answers
// UNAVAILABLE.
wire::MethodTable api_routes(Services& services, WorkerPool& workers);

}  // namespace staithe::app
