#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace staithe::bench {

// One request of a trace.
struct Request {
  Duration at{0};  // since the trace's begin
  std::uint32_t input_tokens = 0;
  std::uint32_t output_tokens = 0;
};

struct Trace {
  std::string name;
  std::vector<Request> requests;  // by time
};

// A trace of any form that bench/trace_file.h knows.
Result<Trace> read_trace(const std::string& path);

// `copies` requests for each one, each later by a time of its own below `spread` (drawn with a
// fixed seed): more load, with the trace's ups and downs above that time scale.
Trace multiplied(const Trace& trace, std::uint32_t copies, Duration spread);

}  // namespace staithe::bench
