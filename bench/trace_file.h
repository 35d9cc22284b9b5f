#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace staithe::bench {

// One request as a public trace tells of it.
struct TraceRecord {
  Duration at{0};  // since the trace's begin
  std::uint32_t input_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::vector<std::uint32_t> prompt;  // what is known of it; see below
};

struct TraceFile {
  std::string name;
  std::vector<TraceRecord> records;  // at least one, as they stand in the file
};

// Reads a trace by the end of its name:
//   .csv     Azure LLM inference traces: TIMESTAMP,ContextTokens,GeneratedTokens
//   .jsonl   Mooncake traces: {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids":
//            [...]}; the last are the prompt's, if they are there
//   .txt.gz  as committed beside the benches: milliseconds since the request before, input tokens,
//            output tokens, and what more numbers there are of the prompt
Result<TraceFile> read_trace_file(const std::string& path);

}  // namespace staithe::bench
