#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace staithe::wire {

// The pairs of a query in their order, decoded as application/x-www-form-urlencoded (a plus is a
// space). INVALID_ARGUMENT on a malformed escape.
Result<std::vector<std::pair<std::string, std::string>>> read_form_query(std::string_view query);

}  // namespace staithe::wire
