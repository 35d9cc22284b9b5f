#pragma once

#include <string>

#include "base/result.h"
#include "staithe/v1/limit.pb.h"

namespace staithe::service {

// Every rule for a limit that needs the request alone.
Result<void> validate(const staithe::v1::SetLimitRequest& request);

// The id in the requests that only name a limit: present and not too long to be one.
Result<void> check_limit_id(const std::string& id);

}  // namespace staithe::service
