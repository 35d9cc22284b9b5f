#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace staithe::wire {

// Deadlines as the protocols write them: nothing if there is none, INVALID_ARGUMENT if it is
// malformed. What is longer than a year is a year, and nothing is shorter than a nanosecond.

// Connect-Timeout-Ms: at most ten digits (https://connectrpc.com/docs/protocol#unary-request).
Result<std::optional<Duration>> read_connect_timeout(std::optional<std::string_view> value);
// grpc-timeout: at most eight digits and one of H M S m u n.
Result<std::optional<Duration>> read_grpc_timeout(std::optional<std::string_view> value);

}  // namespace staithe::wire
