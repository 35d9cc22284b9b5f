#include "trace.h"

#include <algorithm>

#include "base/random.h"
#include "bench/trace_file.h"

namespace staithe::bench {

Result<Trace> read_trace(const std::string& path) {
  TRY_ASSIGN(TraceFile file, read_trace_file(path));
  Trace trace{.name = std::move(file.name), .requests = {}};
  for (const TraceRecord& record : file.records) {
    trace.requests.push_back({.at = record.at,
                              .input_tokens = record.input_tokens,
                              .output_tokens = record.output_tokens});
  }
  std::stable_sort(trace.requests.begin(), trace.requests.end(),
                   [](const Request& a, const Request& b) { return a.at < b.at; });
  return trace;
}

Trace multiplied(const Trace& trace, std::uint32_t copies, Duration spread) {
  SeededRandom random(1);
  Trace more{.name = trace.name, .requests = {}};
  more.requests.reserve(trace.requests.size() * copies);
  for (const Request& request : trace.requests) {
    for (std::uint32_t i = 0; i < copies; ++i) {
      Request copy = request;
      copy.at +=
          Duration{static_cast<std::int64_t>(random.unit() * static_cast<double>(spread.count()))};
      more.requests.push_back(copy);
    }
  }
  std::stable_sort(more.requests.begin(), more.requests.end(),
                   [](const Request& a, const Request& b) { return a.at < b.at; });
  return more;
}

}  // namespace staithe::bench
