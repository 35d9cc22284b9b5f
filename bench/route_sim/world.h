#pragma once

#include "policies.h"

namespace staithe::bench {

// When a request was served well: its first token came in time and the others, on average, too.
// The time for the first grows with the prompt, as a fixed one would be missed by a long prompt
// even on an idle engine.
struct Slo {
  double first_token_s = 2;
  double first_token_per_token_s = 1.0 / 7500;  // about twice what reading it takes
  double other_token_s = 0.1;

  bool is_met(const Job& job) const;
};

struct Outcome {
  double attainment = 0;    // share of requests within the SLO
  double cached_share = 0;  // of prompt tokens
  double first_token_p50_s = 0;
  double first_token_p95_s = 0;
};

struct Fleet {
  std::uint32_t engine_count = 16;
  EngineModel engine;
  double reading_interval_s = 0.1;
  std::uint64_t seed = 1;
};

// Plays the trace `rate` times as fast as it was recorded.
Outcome play(const Trace& trace, double rate, const Fleet& fleet, const Slo& slo,
             const Contender& contender);

}  // namespace staithe::bench
