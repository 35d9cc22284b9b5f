#include "app/usage_writer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "store/forwarding_store.h"
#include "store/memory/memory_store.h"

namespace staithe::app {
namespace {

constexpr std::chrono::milliseconds soon{1};
constexpr std::chrono::hours never{24};

// A store that refuses the first commits, as a database on a full disk does.
class ReluctantStore final : public store::ForwardingStore {
 public:
  explicit ReluctantStore(int refusals) : ForwardingStore(memory_), refusals_left_(refusals) {}

  void wait_for_commits(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, count] { return commits_ >= count; });
  }

  void commit(store::Transaction transaction, store::CommitDone done) override {
    bool is_refused = false;
    {
      const std::lock_guard lock(mutex_);
      is_refused = refusals_left_ > 0;
      refusals_left_ -= is_refused ? 1 : 0;
    }
    if (is_refused) {
      done(Error{.code = Code::unavailable,
                 .message = "the disk is full",
                 .reason = std::string(store::reason_unavailable)});
    } else {
      memory_.commit(std::move(transaction), std::move(done));
    }
    const std::lock_guard lock(mutex_);
    commits_ += 1;
    changed_.notify_all();
  }

 private:
  store::MemoryStore memory_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  int refusals_left_;
  int commits_ = 0;
};

class UsageWriterTest : public ::testing::Test {
 protected:
  void use(const std::string& token, std::uint64_t completion_tokens) {
    table_.add({.hour = Timestamp{std::chrono::hours{7}},
                .organization = "cw1a2b",
                .token_id = token,
                .deployment_id = "d",
                .model = "m"},
               {.requests = 1, .prompt_tokens = 10, .completion_tokens = completion_tokens});
  }

  static std::vector<store::UsageRow> sums(store::Store& store) {
    store::UsageQuery query{.from = Timestamp{}, .to = Timestamp{std::chrono::hours{1000}}};
    query.is_by_token = true;
    return *store.usage(query);
  }

  gateway::UsageBook book_;
  gateway::UsageTable table_{book_};
  Metrics metrics_;
  Log log_{2, LogLevel::error};
};

TEST_F(UsageWriterTest, what_is_left_is_written_at_the_end) {
  ReluctantStore store(0);
  {
    const UsageWriter writer(book_, store, never, metrics_, log_);
    use("a", 5);
    use("b", 7);
    use("a", 1);
  }
  const auto rows = sums(store);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].token_id, "a");
  EXPECT_EQ(rows[0].requests, 2u);
  EXPECT_EQ(rows[0].prompt_tokens, 20u);
  EXPECT_EQ(rows[0].completion_tokens, 6u);
  EXPECT_EQ(rows[1].completion_tokens, 7u);
}

TEST_F(UsageWriterTest, usage_is_written_while_requests_come) {
  ReluctantStore store(0);
  const UsageWriter writer(book_, store, soon, metrics_, log_);
  use("a", 5);
  store.wait_for_commits(1);
  ASSERT_EQ(sums(store).size(), 1u);
  EXPECT_EQ(sums(store)[0].completion_tokens, 5u);
}

TEST_F(UsageWriterTest, what_a_store_refuses_is_kept_and_counted_once) {
  ReluctantStore store(3);
  {
    const UsageWriter writer(book_, store, soon, metrics_, log_);
    use("a", 5);
    store.wait_for_commits(2);
    use("a", 7);
    store.wait_for_commits(4);
  }
  ASSERT_EQ(sums(store).size(), 1u);
  EXPECT_EQ(sums(store)[0].requests, 2u);
  EXPECT_EQ(sums(store)[0].completion_tokens, 12u);
  EXPECT_NE(metrics_.render().find("staithe_usage_requests_lost_total 0"), std::string::npos);
}

TEST_F(UsageWriterTest, what_no_store_ever_took_is_counted_as_lost) {
  ReluctantStore store(1'000'000);
  {
    const UsageWriter writer(book_, store, never, metrics_, log_);
    use("a", 5);
    use("b", 5);
  }
  EXPECT_NE(metrics_.render().find("staithe_usage_requests_lost_total 2"), std::string::npos);
}

}  // namespace
}  // namespace staithe::app
