#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "gateway/prefix.h"

namespace staithe::bench {

inline constexpr std::uint32_t block_tokens = 512;
inline constexpr std::uint32_t token_bytes = 4;

// One request of a trace. Equal block ids mean equal prompts up to the end of that block.
struct Request {
  double at_s = 0;
  std::uint32_t input_tokens = 0;
  std::uint32_t output_tokens = 0;  // no policy sees it
  std::vector<std::uint32_t> blocks;
  gateway::Prefix prefix{0};  // of a text made from the blocks, four bytes to a token
};

struct Trace {
  std::string name;
  std::vector<Request> requests;  // by time
  std::uint32_t block_count = 0;  // ids are below this
};

// A trace of any form that bench/trace_file.h knows. No Azure prompt has anything in common with
// another; Mooncake's have their hash_ids; behind the tokens of a committed trace stand how many
// blocks an earlier prompt had in common, and the last of them.
// Requests of one and the same moment are spread evenly up to the next moment, since Mooncake's
// conversation trace tells time in steps of 3 s.
Result<Trace> read_trace(const std::string& path);

// The same requests with prompts that have nothing in common.
Trace without_reuse(const Trace& trace);

}  // namespace staithe::bench
