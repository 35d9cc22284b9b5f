#include "gateway/hints.h"

#include <gtest/gtest.h>

namespace staithe::gateway {
namespace {

TEST(Hints, a_reading_counts_while_it_is_fresh) {
  EngineHints hints;
  const Instant now{std::chrono::seconds(1000)};
  EXPECT_FALSE(hints.fresh(now));
  const EngineReading reading{.waiting = 1, .running = 2, .kv_permille = 3};
  hints.update(reading, now);
  EXPECT_EQ(hints.fresh(now + EngineHints::fresh_for), reading);
  EXPECT_FALSE(hints.fresh(now + EngineHints::fresh_for + std::chrono::milliseconds(1)));
}

TEST(Hints, are_found_in_the_metrics_of_vllm_over_all_its_cores) {
  const auto reading = parse_engine_metrics(
      "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
      "# TYPE vllm:num_requests_running gauge\n"
      "vllm:num_requests_running{engine=\"0\",model_name=\"a}\\\" b\"} 3.0\n"
      "vllm:num_requests_running{engine=\"1\",model_name=\"a\"} 4.0\n"
      "vllm:num_requests_waiting{engine=\"0\"} 1.2e+01\n"
      "vllm:num_requests_waiting_by_reason{engine=\"0\"} 99\n"
      "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n"
      "vllm:kv_cache_usage_perc{engine=\"1\"} 0.5\n");
  EXPECT_EQ(reading, (EngineReading{.waiting = 12, .running = 7, .kv_permille = 500}));
}

TEST(Hints, are_found_in_the_metrics_of_sglang_and_llama_cpp) {
  EXPECT_EQ(parse_engine_metrics("sglang:num_running_reqs{model_name=\"m\"} 2.0\n"
                                 "sglang:num_queue_reqs{model_name=\"m\"} 5.0\n"
                                 "sglang:token_usage{model_name=\"m\"} 0.123\n"),
            (EngineReading{.waiting = 5, .running = 2, .kv_permille = 123}));
  EXPECT_EQ(parse_engine_metrics("llamacpp:requests_processing 1\r\n"
                                 "llamacpp:requests_deferred 2 1700000000000"),
            (EngineReading{.waiting = 2, .running = 1, .kv_permille = 0}));
}

TEST(Hints, are_not_made_of_what_is_no_number) {
  for (const auto text : {"", "\n\n", "vllm:num_requests_running", "vllm:num_requests_running{",
                          "vllm:num_requests_running{a=\"", "vllm:num_requests_running NaN",
                          "vllm:num_requests_running -1", "vllm:num_requests_running +Inf",
                          "vllm:num_requests_running x", "vllm:kv_cache_usage_perc 0.5",
                          "other:num_requests_running 1"}) {
    EXPECT_FALSE(parse_engine_metrics(text)) << text;
  }
  EXPECT_EQ(parse_engine_metrics("vllm:num_requests_running 1e300")->running, 1'000'000u);
}

}  // namespace
}  // namespace staithe::gateway
