#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"

namespace staithe::gateway {

// Where a request stands in a distributed trace: the header `traceparent`
// (https://www.w3.org/TR/trace-context/#traceparent-header).
struct TraceContext {
  std::string trace_id;  // 32 lower-case hex digits, not all zero
  std::string span_id;   // 16 of them: who calls
  bool is_sampled = false;
};

// Nothing when it is not one. Versions after 00 are read as far as that one goes.
std::optional<TraceContext> parse_traceparent(std::string_view text);
std::string format_traceparent(const TraceContext& context);

std::string make_trace_id(Random& random);
std::string make_span_id(Random& random);

}  // namespace staithe::gateway
