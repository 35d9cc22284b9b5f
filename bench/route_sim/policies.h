#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine.h"
#include "gateway/choose.h"

namespace staithe::bench {

// What engines tell of themselves, as old as the interval at which they are asked.
struct Reading {
  std::size_t waiting = 0;
  std::size_t running = 0;
  double kv_use = 0;
};

// Chooses an engine for each request. It sees prompts, its own choices and what comes of them, and
// readings; never how long an answer will be.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual std::uint32_t choose(const Job& job, double now_s) = 0;
  virtual void on_first_token(const Job&) {}
  virtual void on_end(const Job&) {}
  virtual void on_readings(const std::vector<Reading>&, double) {}
};

struct FleetShape {
  std::uint32_t engine_count = 0;
  std::uint32_t kv_blocks = 0;  // of each
  std::uint64_t seed = 0;
};

struct Contender {
  std::string name;
  std::function<std::unique_ptr<Policy>(const FleetShape&)> make;
};

// The gateway's own code, gateway/choose.h, with its books of requests in flight.
Contender staithe_contender(const gateway::ChooseOptions& options);

// The others, written from their documentation with the defaults it states:
//
//   round robin
//   least load     the fewest requests in flight, ties by chance
//   bounded hash   consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA
//                  2018, https://arxiv.org/abs/1608.01350) as KubeAI has it: 256 places on the ring
//                  for each engine, load at most 125 % of the mean, the hash of how the prompt
//                  begins (https://www.kubeai.org/concepts/load-balancing/,
//                  https://www.kubeai.org/reference/kubernetes-api/). KubeAI takes the first 100
//                  characters of the first message of the user; here it is the first two blocks,
//                  since the first is a system prompt that Mooncake's requests share.
//   SGLang-style   cache_aware of SGLang's router: while loads are not out of balance (by more than
//                  64 and 1.5 times) the engine that has seen most of the prompt if that is more
//                  than 0.3 of it, else the least loaded
//                  (https://docs.sglang.ai/advanced_features/router.html,
//                  https://github.com/lightseekorg/smg, docs/concepts/routing/cache-aware.md)
//   llm-d-style    scores from queue length (weight 2), KV use (2) and seen prefix (3), the highest
//                  wins; the prefix in blocks of 64 characters, at most 256 of them
//                  (https://github.com/llm-d/llm-d-inference-scheduler, docs/architecture.md,
//                  https://gateway-api-inference-extension.sigs.k8s.io/guides/epp-configuration/config-text/)
//   llm-d whole    the same without the limit of 256 blocks, which is not a default
std::vector<Contender> other_contenders();

}  // namespace staithe::bench
