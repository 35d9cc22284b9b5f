#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <queue>
#include <vector>

#include "trace.h"

namespace staithe::bench {

// An engine that batches continuously. The times are those of Llama 2 70B on eight H100 as measured
// for "Splitwise" (Patel et al., ISCA 2024; the tables are in its simulator's repository,
// Mutinifni/splitwise-sim): 30 ms a step, 0.3 ms more for each answer in it, 137 ms with 2,048
// tokens of a prompt. Its memory leaves room for 1.3 million tokens of keys and values.
struct EngineModel {
  double step_s = 0.030;
  double answer_s = 0.0003;          // more for each answer that the step goes on with
  double prompt_token_s = 0.000052;  // more for each token of a prompt that it reads
  std::uint32_t step_tokens_max = 1024;
  std::uint32_t requests_max = 256;
  std::uint32_t kv_blocks = 1'300'000 / block_tokens;
};

// A request on its way, and how it went.
struct Job {
  const Request* request = nullptr;
  std::uint32_t engine = 0;
  double arrived_s = 0;
  double first_token_s = 0;
  double end_s = 0;
  std::uint32_t cached_tokens = 0;

  // The engine's.
  std::uint32_t unread_tokens = 0;
  std::uint32_t private_blocks = 0;        // that are no one else's
  std::vector<std::uint32_t> held_blocks;  // that others may use
  std::uint64_t last_step = 0;
};

// One simulated engine: requests wait first come first served; each step goes on with every answer
// by a token and reads up to step_tokens_max of prompts; whole blocks of prompts stay in memory
// after use and give way to new ones, least recently used first, deepest first of those.
//
// Simpler than life: memory for an answer is set aside when its prompt begins to be read, so that
// nobody is ever preempted, and a long context costs no more per token than a short one.
class Engine {
 public:
  Engine(const EngineModel& model, std::uint32_t block_count);

  void submit(Job& job, double now_s);
  // When the step under way ends; infinity at rest.
  double step_end_s() const { return step_end_s_; }
  struct Progress {
    std::vector<Job*> first_tokens;
    std::vector<Job*> ended;
  };
  // Ends the step and begins the next.
  void end_step(Progress& progress);

  // What it would tell in its metrics.
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t running() const { return running_count_; }
  double kv_use() const { return static_cast<double>(used_blocks_) / model_.kv_blocks; }
  std::uint32_t kept_blocks() const { return kept_count_; }
  bool has_block(std::uint32_t id) const { return blocks_[id].is_present; }

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  struct Block {
    bool is_present = false;
    std::uint32_t user_count = 0;
    std::uint32_t older = none;  // in the order of last use, while nobody uses it
    std::uint32_t newer = none;
  };
  struct LaterStep {
    bool operator()(const Job* a, const Job* b) const { return a->last_step > b->last_step; }
  };

  void begin_step(double now_s);
  bool try_admit();
  void use(std::uint32_t id);
  void let_go(std::uint32_t id);
  void evict_oldest();
  void unlink(std::uint32_t id);
  void publish_prompt(Job& job);
  void release(Job& job);

  const EngineModel model_;
  std::vector<Block> blocks_;
  std::uint32_t oldest_ = none;
  std::uint32_t newest_ = none;
  std::uint32_t kept_count_ = 0;   // present blocks that nobody uses
  std::uint32_t used_blocks_ = 0;  // present blocks in use, and private ones

  std::deque<Job*> waiting_;
  std::deque<Job*> reading_;
  std::vector<Job*> read_;  // whose prompts the step under way finishes
  std::priority_queue<Job*, std::vector<Job*>, LaterStep> answering_;
  std::size_t running_count_ = 0;
  std::uint64_t step_ = 0;
  double step_end_s_ = std::numeric_limits<double>::infinity();
};

}  // namespace staithe::bench
