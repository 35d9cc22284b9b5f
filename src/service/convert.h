#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <string_view>

#include "base/clock.h"
#include "coreweave/inference/v1alpha1/capacity_claim.pb.h"
#include "coreweave/inference/v1alpha1/deployment.pb.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "model/capacity_claim.h"
#include "model/deployment.h"
#include "model/gateway.h"
#include "service/caller.h"

// Messages of validated requests into values, values into messages of answers. Protobuf stops here.
namespace staithe::service {

void set_time(Timestamp time, google::protobuf::Timestamp& message);

// `present` is the type as stored before, unspecified for a new claim: SERVERLESS is kept only
// where REST wrote it.
model::ClaimResources to_model(const pb::CapacityClaimResources& resources, Spelling spelling,
                               model::CapacityType present);
void to_message(const model::CapacityClaim& claim, Spelling spelling, pb::CapacityClaim& message);

model::DeploymentSpec to_model(const pb::CreateDeploymentRequest& request);
model::DeploymentSpec to_model(const pb::UpdateDeploymentRequest& request);
void to_message(const model::Deployment& deployment, pb::Deployment& message);

model::GatewaySpec to_model(const pb::CreateGatewayRequest& request);
model::GatewaySpec to_model(const pb::UpdateGatewayRequest& request);
void to_message(const model::Gateway& gateway, pb::Gateway& message);

}  // namespace staithe::service
