#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace staithe::bench {

// How the upstream is to stream. It travels as the beginning of the prompt, since some peers drop
// members of the request that they do not know.
struct StreamPlan {
  std::uint64_t chunk_count = 16;
  std::int64_t interval_ms = 0;

  std::string to_prompt() const {
    return "chunks " + std::to_string(chunk_count) + " interval " + std::to_string(interval_ms) +
           " ";
  }
  static StreamPlan from_body(const std::string& body) {
    StreamPlan plan;
    unsigned long long chunk_count = 0;
    long long interval_ms = 0;
    const auto found = body.find("chunks ");
    if (found != body.npos && std::sscanf(body.c_str() + found, "chunks %llu interval %lld ",
                                          &chunk_count, &interval_ms) == 2) {
      plan = {chunk_count, interval_ms};
    }
    return plan;
  }
};

}  // namespace staithe::bench
