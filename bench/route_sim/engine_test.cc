#include "engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace staithe::bench {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

Request request(std::uint32_t input_tokens, std::uint32_t output_tokens,
                std::uint32_t first_block) {
  Request one{.input_tokens = input_tokens, .output_tokens = output_tokens};
  const std::uint32_t count = (input_tokens + block_tokens - 1) / block_tokens;
  for (std::uint32_t i = 0; i < count; ++i) one.blocks.push_back(first_block + i);
  return one;
}

class EngineTest : public ::testing::Test {
 protected:
  void run_until_idle() {
    while (engine.step_end_s() != never) engine.end_step(progress);
  }
  Job job_of(const Request& one, double arrived_s = 0) {
    Job job;
    job.request = &one;
    job.arrived_s = arrived_s;
    return job;
  }
  EngineModel model{.step_s = 0.03,
                    .answer_s = 0.001,
                    .prompt_token_s = 0.0001,
                    .step_tokens_max = 1024,
                    .requests_max = 4,
                    .kv_blocks = 16};
  Engine engine{model, 1000};
  Engine::Progress progress;
};

TEST_F(EngineTest, a_prompt_is_read_in_steps_and_answered_a_token_a_step) {
  const Request one = request(2048, 11, 0);
  Job job = job_of(one);
  engine.submit(job, 5);
  run_until_idle();
  EXPECT_NEAR(job.first_token_s, 5 + 2 * (0.03 + 1024 * 0.0001), 1e-9);
  EXPECT_NEAR(job.end_s - job.first_token_s, 10 * (0.03 + 0.001), 1e-9);
  EXPECT_EQ(progress.ended.size(), 1u);
  EXPECT_EQ(engine.running(), 0u);
  EXPECT_EQ(engine.kv_use(), 0);
}

TEST_F(EngineTest, an_answer_goes_on_while_a_prompt_is_read_but_slower) {
  const Request short_one = request(100, 200, 0);
  const Request long_one = request(4096, 1, 100);
  Job first = job_of(short_one);
  Job second = job_of(long_one);
  engine.submit(first, 0);
  engine.submit(second, 0);
  run_until_idle();
  // 4,096 tokens beside 100 tokens in the first step and an answer in the others.
  EXPECT_LT(second.first_token_s, first.end_s);
  EXPECT_GT(first.end_s - first.first_token_s, 199 * 0.031 + 0.3);
}

TEST_F(EngineTest, a_prompt_read_before_is_not_read_again) {
  const Request one = request(4000, 2, 0);
  Job first = job_of(one);
  engine.submit(first, 0);
  run_until_idle();
  Job again = job_of(one);
  engine.submit(again, 100);
  run_until_idle();
  EXPECT_EQ(first.cached_tokens, 0u);
  EXPECT_EQ(again.cached_tokens, 3999u) << "all but the last token";
  EXPECT_NEAR(again.first_token_s, 100 + 0.03 + 0.0001, 1e-9);
}

TEST_F(EngineTest, one_at_the_same_time_is_read_by_both) {
  const Request one = request(500, 2, 0);
  const Request before = request(512, 2, 100);
  Job busy = job_of(before);
  Job first = job_of(one);
  Job second = job_of(one);
  engine.submit(busy, 0);
  engine.submit(first, 0);
  engine.submit(second, 0);
  run_until_idle();
  EXPECT_EQ(first.cached_tokens + second.cached_tokens, 0u) << "both were read in one step";
  EXPECT_EQ(engine.kept_blocks(), 2u);
}

TEST_F(EngineTest, the_block_used_least_recently_gives_way_deepest_first) {
  const Request old_one = request(8 * 512, 1, 0);
  const Request new_one = request(10 * 512, 1, 100);
  Job first = job_of(old_one);
  engine.submit(first, 0);
  run_until_idle();
  EXPECT_EQ(engine.kept_blocks(), 8u);
  Job second = job_of(new_one);
  engine.submit(second, 10);
  run_until_idle();
  // 16 blocks in all; the second took 10 and one for its answer.
  for (std::uint32_t id = 0; id < 5; ++id) EXPECT_TRUE(engine.has_block(id)) << id;
  for (std::uint32_t id = 5; id < 8; ++id) EXPECT_FALSE(engine.has_block(id)) << id;
  EXPECT_TRUE(engine.has_block(109));
}

TEST_F(EngineTest, requests_without_memory_wait_in_order) {
  const Request large = request(12 * 512, 1, 0);
  const Request other = request(12 * 512, 1, 100);
  Job first = job_of(large);
  Job second = job_of(other);
  engine.submit(first, 0);
  engine.submit(second, 0);
  EXPECT_EQ(engine.running(), 1u);
  EXPECT_EQ(engine.waiting(), 1u);
  EXPECT_GT(engine.kv_use(), 0.7);
  run_until_idle();
  EXPECT_GE(second.first_token_s, first.end_s + 6 * 0.13);
}

}  // namespace
}  // namespace staithe::bench
