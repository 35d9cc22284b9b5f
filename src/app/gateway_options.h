#pragma once

#include "app/config.h"
#include "gateway/options.h"

namespace staithe::app {

// What the configuration says of the data plane. What is made at the start (who takes spans, say)
// is still to be filled in.
gateway::Options gateway_options_of(const Config& config);

}  // namespace staithe::app
