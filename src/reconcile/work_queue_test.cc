#include "reconcile/work_queue.h"

#include <gtest/gtest.h>

namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using store::Kind;

class WorkQueueTest : public ::testing::Test {
 protected:
  SeededRandom random_{7};
  WorkQueue queue_{random_, {.failure_delay_first = 100ms, .failure_delay_max = 1s}};
  const Instant now_{1h};
  const Key a_{Kind::deployment, "a"};
  const Key b_{Kind::deployment, "b"};
};

TEST_F(WorkQueueTest, holds_a_key_once_with_the_earliest_time) {
  queue_.add(a_, now_ + 5s);
  queue_.add(a_, now_ + 1s);
  queue_.add(a_, now_ + 9s);
  EXPECT_EQ(queue_.size(), 1U);
  EXPECT_EQ(queue_.next_due(), now_ + 1s);
  EXPECT_EQ(queue_.pop(now_), std::nullopt);
  EXPECT_EQ(queue_.pop(now_ + 1s), a_);
  EXPECT_EQ(queue_.pop(now_ + 10s), std::nullopt);
  EXPECT_EQ(queue_.next_due(), std::nullopt);
}

TEST_F(WorkQueueTest, serves_machines_before_claims_before_deployments) {
  queue_.add(a_, now_);
  queue_.add({Kind::gateway, "g"}, now_);
  queue_.add({Kind::claim, "c"}, now_);
  queue_.add({Kind::node, ""}, now_);
  std::vector<Kind> order;
  while (const auto key = queue_.pop(now_)) order.push_back(key->kind);
  EXPECT_EQ(order, (std::vector{Kind::node, Kind::claim, Kind::gateway, Kind::deployment}));
}

TEST_F(WorkQueueTest, serves_equals_in_the_order_in_which_they_became_due) {
  queue_.add(b_, now_ - 2s);
  queue_.add(a_, now_ - 1s);
  EXPECT_EQ(queue_.pop(now_), b_);
  queue_.add(b_, now_);
  EXPECT_EQ(queue_.pop(now_), a_);
  EXPECT_EQ(queue_.pop(now_), b_);
}

TEST_F(WorkQueueTest, waits_longer_after_each_failure_up_to_the_limit) {
  const auto delay_after_failure = [this] {
    queue_.add_failed(a_, now_);
    const Duration delay = *queue_.next_due() - now_;
    EXPECT_EQ(queue_.pop(now_ + 1h), a_);
    return delay;
  };
  Duration full = 100ms;
  for (int i = 0; i < 8; ++i) {
    const Duration delay = delay_after_failure();
    EXPECT_LE(delay, full);
    EXPECT_GE(delay, full / 2);
    full = std::min<Duration>(full * 2, 1s);
  }
  queue_.forget_failures(a_);
  EXPECT_LE(delay_after_failure(), 100ms);
}

}  // namespace
}  // namespace staithe::reconcile
