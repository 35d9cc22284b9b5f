#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "model/capacity_claim.h"
#include "model/deployment.h"
#include "model/gateway.h"
#include "model/limit.h"
#include "model/node.h"

// How values are written into the store: JSON with short stable keys. Unknown keys are ignored and
// missing ones take their default, so that a row of an older version still reads. A text that does
// not parse is DATA_LOSS.
namespace staithe::model {

std::string encode(const ClaimSpec& value);
std::string encode(const ClaimStatus& value);
std::string encode(const DeploymentSpec& value);
std::string encode(const DeploymentStatus& value);
std::string encode(const GatewaySpec& value);
std::string encode(const GatewayStatus& value);
std::string encode(const Node& value);
std::string encode(const Replica& value);
std::string encode(const Limit& value);

Result<void> decode(std::string_view text, ClaimSpec& value);
Result<void> decode(std::string_view text, ClaimStatus& value);
Result<void> decode(std::string_view text, DeploymentSpec& value);
Result<void> decode(std::string_view text, DeploymentStatus& value);
// But for its conditions, which are most of it.
Result<void> decode_without_conditions(std::string_view text, DeploymentStatus& value);
Result<void> decode(std::string_view text, GatewaySpec& value);
Result<void> decode(std::string_view text, GatewayStatus& value);
Result<void> decode(std::string_view text, Node& value);
Result<void> decode(std::string_view text, Replica& value);
Result<void> decode(std::string_view text, Limit& value);

}  // namespace staithe::model
