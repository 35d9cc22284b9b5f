#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace staithe {

// RFC 3339 in UTC with "Z" and 0, 3 or 6 fraction digits, whichever is the shortest exact form.
std::string format_timestamp(Timestamp time);
void append_timestamp(std::string& out, Timestamp time);

// Reads RFC 3339 with any offset and any number of fraction digits (digits past the sixth are cut).
// The error is INVALID_ARGUMENT without a field; the caller names it.
Result<Timestamp> parse_timestamp(std::string_view text);

}  // namespace staithe
