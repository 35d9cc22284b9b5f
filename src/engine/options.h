#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace staithe::engine {

// A way to misbehave on purpose, for one request or for all of them.
struct Fault {
  enum class Kind : std::uint8_t {
    none,
    slow_first_byte,  // `amount` more milliseconds before the first byte of the answer
    reset_before,     // closes the connection before any byte of the answer
    reset_mid,        // closes the connection after `amount` tokens, or within a whole answer
    hang,             // accepts the request and never answers
    hang_mid,         // falls silent after `amount` tokens
    flood,            // `amount` tokens as fast as the client takes them
    status,           // refuses with the HTTP status `amount`
  };
  Kind kind = Kind::none;
  std::uint32_t amount = 0;

  bool operator==(const Fault&) const = default;
};

// Reads "slow-first-byte=MS", "reset-before", "reset-mid=N", "hang", "hang-mid=N", "flood=N",
// "status=CODE" or "none". INVALID_ARGUMENT says what is expected.
Result<Fault> parse_fault(std::string_view text);

// A duration drawn anew each time: evenly from mean - jitter to mean + jitter, or log-normal with
// the jitter as its standard deviation.
struct Latency {
  double mean_ms = 0;
  double jitter_ms = 0;
};
enum class LatencyShape : std::uint8_t { uniform, lognormal };

// What the simulated engine pretends to be.
struct Options {
  std::string model = "simulated";  // the name it serves; every other is refused
  std::uint64_t seed = 1;           // equal seeds draw equal latencies and equal texts
  Latency time_to_first_token{50, 10};
  Latency inter_token{10, 2};
  LatencyShape shape = LatencyShape::uniform;
  std::uint32_t tokens_default = 64;        // length of an answer that asks for no max_tokens
  std::uint32_t context_tokens_max = 8192;  // prompt and answer together
  std::uint32_t kv_cache_tokens = 1U << 20;
  std::uint32_t running_max = 256;  // requests beyond wait in line
  std::uint32_t embedding_size = 384;
  std::chrono::milliseconds load_delay{0};  // 503 until then
  Fault fault;                              // of every request whose header names none
};

}  // namespace staithe::engine
