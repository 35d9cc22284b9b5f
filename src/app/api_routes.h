#pragma once

#include "base/worker_pool.h"
#include "service/claim_service.h"
#include "service/deployment_service.h"
#include "service/gateway_service.h"
#include "service/insight_service.h"
#include "service/limit_service.h"
#include "service/node_service.h"
#include "service/usage_service.h"
#include "wire/method.h"

namespace staithe::app {

// The three services of the hosted API over one store, and the four that Staithe adds.
struct Services {
  Services(store::Store& store, const Clock& clock, Random& random, model::CatalogueSlot& catalogue,
           service::ControlPlane& control_plane, const service::ServiceOptions& options)
      : claims(store, clock, random, catalogue, options),
        gateways(store, clock, random, catalogue, options),
        deployments(store, clock, random, catalogue, options),
        nodes(store, clock, catalogue, options),
        insight(store, deployments, claims, control_plane),
        usage(store, options),
        limits(store, clock, options) {}

  service::ClaimService claims;
  service::GatewayService gateways;
  service::DeploymentService deployments;
  service::NodeService nodes;
  service::InsightService insight;
  service::UsageService usage;
  service::LimitService limits;
};

// The table of all RPCs, eighteen and fourteen: its line says in which service a method is, how
// REST spells it, which role it needs and who does it. Their blocking part runs on `workers`; a
// full pool answers UNAVAILABLE.
wire::MethodTable api_routes(Services& services, WorkerPool& workers);

}  // namespace staithe::app
