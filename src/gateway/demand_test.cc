#include "gateway/demand.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/thread.h"
#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;
using namespace std::chrono_literals;

// The counters alone, with a loop whose time stands still but for advance().
class DemandTableTest : public ::testing::Test {
 protected:
  DemandTotals read(std::string_view id = "d") {
    const auto totals = table_.read(id, clock_);
    EXPECT_TRUE(totals.has_value());
    return totals.value_or(DemandTotals{});
  }
  double busy_seconds(std::string_view id = "d") {
    return static_cast<double>(read(id).busy_us) / 1e6;
  }

  FakeClock clock_;
  DemandTable table_;
  std::shared_ptr<DeploymentDemand> demand_ = table_.at("d");
};

TEST_F(DemandTableTest, sums_up_how_long_requests_last_while_they_run_and_after) {
  demand_->start(clock_.instant());
  clock_.advance(2s);
  EXPECT_EQ(busy_seconds(), 2);
  demand_->start(clock_.instant());
  clock_.advance(3s);
  demand_->end(clock_.instant());
  EXPECT_EQ(busy_seconds(), 8);
  clock_.advance(1s);
  demand_->end(clock_.instant());
  clock_.advance(1h);
  EXPECT_EQ(busy_seconds(), 9);
  EXPECT_EQ(read().started, 2u);
  EXPECT_EQ(read().ended, 2u);
}

TEST_F(DemandTableTest, a_deployment_nobody_asked_for_has_no_demand_rather_than_an_unknown_one) {
  const auto totals = table_.read("never-heard-of", clock_);
  ASSERT_TRUE(totals);
  EXPECT_EQ(*totals, DemandTotals{.at = clock_.instant()});
}

TEST_F(DemandTableTest, highest_is_of_the_time_since_the_reading_before) {
  for (int i = 0; i < 5; ++i) demand_->start(clock_.instant());
  for (int i = 0; i < 3; ++i) demand_->end(clock_.instant());
  EXPECT_EQ(read().highest, 5u);
  EXPECT_EQ(read().highest, 2u) << "those that run since then";
  demand_->end(clock_.instant());
  demand_->start(clock_.instant());
  demand_->start(clock_.instant());
  EXPECT_EQ(read().highest, 3u);
}

// 2^16 additions wrap the count beside the times.
TEST_F(DemandTableTest, stays_exact_when_its_numbers_wrap_around) {
  double expected = 0;
  for (int i = 0; i < 300'000; ++i) {
    demand_->start(clock_.instant());
    demand_->start(clock_.instant());
    clock_.advance(1ms);
    demand_->end(clock_.instant());
    clock_.advance(1ms);
    demand_->end(clock_.instant());
    expected += 0.003;
    if (i % 70'000 == 0) {
      ASSERT_NEAR(busy_seconds(), expected, 1e-6);
    }
  }
  EXPECT_NEAR(busy_seconds(), expected, 1e-6);
  EXPECT_EQ(read().ended, 600'000u);
}

TEST_F(DemandTableTest, an_end_dated_before_the_last_reading_takes_nothing_back) {
  demand_->start(clock_.instant());
  const Instant behind = clock_.instant() + 9ms;  // a loop in the middle of its turn
  clock_.advance(10ms);
  EXPECT_EQ(read().busy_us, 10'000u);
  demand_->end(behind);
  EXPECT_EQ(read().busy_us, 10'000u);
  demand_->start(clock_.instant());
  clock_.advance(10ms);
  EXPECT_EQ(read().busy_us, 19'000u) << "and what was counted too much is made up for";
}

TEST_F(DemandTableTest, readers_see_whole_numbers_while_loops_count) {
  constexpr int loops = 3;
  constexpr int requests = 100'000;
  const Instant begun = clock_.instant();
  DemandTotals before = read();
  std::atomic<int> running{loops};
  std::vector<Thread> threads;
  for (int i = 0; i < loops; ++i) {
    threads.emplace_back("counts", [this, &running] {
      for (int k = 0; k < requests; ++k) {
        demand_->start(clock_.instant());
        demand_->end(clock_.instant());
      }
      running.fetch_sub(1);
    });
  }
  while (running.load() > 0) {
    clock_.advance(1ms);
    const auto now = table_.read("d", clock_);
    if (!now) continue;
    ASSERT_GE(now->started, now->ended);
    ASSERT_LE(now->started - now->ended, static_cast<std::uint64_t>(loops));
    ASSERT_GE(now->started, before.started);
    ASSERT_LE(now->highest, static_cast<std::uint32_t>(loops));
    ASSERT_GE(now->busy_us, before.busy_us);
    // As many requests at once as there are loops, all of the time, is the most there can have
    // been.
    const auto passed =
        std::chrono::duration_cast<std::chrono::microseconds>(clock_.instant() - begun);
    ASSERT_LE(now->busy_us, static_cast<std::uint64_t>(passed.count()) * loops);
    before = *now;
  }
  for (Thread& thread : threads) thread.join();
  EXPECT_EQ(read().ended, static_cast<std::uint64_t>(loops) * requests);
  EXPECT_EQ(read().started, read().ended);
}

TEST_F(DemandTableTest, active_names_whoever_had_a_request_since_it_was_asked) {
  table_.at("idle");
  EXPECT_TRUE(table_.active().empty());
  demand_->start(clock_.instant());
  EXPECT_EQ(table_.active(), std::vector<std::string>{"d"});
  EXPECT_EQ(table_.active(), std::vector<std::string>{"d"}) << "it still runs";
  demand_->end(clock_.instant());
  EXPECT_EQ(table_.active(), std::vector<std::string>{"d"}) << "its end is news";
  EXPECT_TRUE(table_.active().empty());
  demand_->start(clock_.instant());
  demand_->end(clock_.instant());
  EXPECT_EQ(table_.active(), std::vector<std::string>{"d"});
}

TEST_F(DemandTableTest, keeps_count_until_the_last_request_is_over_and_then_forgets) {
  demand_->start(clock_.instant());
  demand_->start(clock_.instant());
  demand_->end(clock_.instant());
  DeploymentDemand* const counter = demand_.get();
  demand_.reset();
  table_.forget_unused();
  clock_.advance(1s);
  EXPECT_EQ(busy_seconds(), 1);
  counter->end(clock_.instant());
  table_.forget_unused();
  EXPECT_EQ(read().started, 0u);
}

// --- Where the gateway counts --------------------------------------------------------------------

DemandTotals demand_of(GatewayWorld& world, std::string_view id = "dep-a") {
  return world.slot().demands().read(id, world.clock()).value_or(DemandTotals{});
}
std::uint64_t running(GatewayWorld& world, std::string_view id = "dep-a") {
  const DemandTotals totals = demand_of(world, id);
  return totals.started - totals.ended;
}

TEST(Demand, a_stream_counts_from_its_request_to_its_last_byte) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  EXPECT_EQ(running(world), 1u);
  engine.peer(0).send(std::string(stream_head) + chunk("data: 1\n\n"));
  world.advance(4s);
  EXPECT_EQ(running(world), 1u);
  engine.peer(0).send(chunk("data: [DONE]\n\n") + std::string(last_chunk));
  world.answer(client);
  world.advance(10s);
  EXPECT_EQ(running(world), 0u);
  EXPECT_EQ(demand_of(world).busy_us, 4'000'000u);
}

TEST(Demand, a_client_that_hangs_up_is_demand_no_more) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk("data: 1\n\n"));
  world.settle();
  ASSERT_EQ(running(world), 1u);
  client.close();
  ASSERT_TRUE(world.until([&] { return running(world) == 0; }));
}

TEST(Demand, a_replica_that_breaks_off_ends_its_requests) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).close_with_reset();
  EXPECT_EQ(world.answer(client).status(), 502);
  EXPECT_EQ(running(world), 0u);
  EXPECT_EQ(demand_of(world).started, 1u);
}

TEST(Demand, a_retry_within_the_deployment_is_the_same_request) {
  GatewayWorld world;
  world.add_engine().refuse_connections();
  world.add_engine().script = [](const Message&) { return answer_with("{}"); };
  for (int i = 0; i < 8; ++i) EXPECT_EQ(world.ask(chat()).status(), 200);
  EXPECT_GT(world.metric("staithe_gateway_retries_total"), 0);
  EXPECT_EQ(demand_of(world).started, 8u);
  EXPECT_EQ(running(world), 0u);
}

TEST(Demand, a_retry_at_another_deployment_takes_its_demand_along) {
  GatewayWorld world;
  world.add_engine("dep-a").refuse_connections();
  world.add_engine("dep-b").script = [](const Message&) { return answer_with("{}"); };
  for (int i = 0; i < 8; ++i) EXPECT_EQ(world.ask(chat()).status(), 200);
  EXPECT_GT(demand_of(world, "dep-a").started, 0u);
  EXPECT_EQ(demand_of(world, "dep-b").started, 8u);
  EXPECT_EQ(running(world, "dep-a"), 0u);
  EXPECT_EQ(running(world, "dep-b"), 0u);
}

TEST(Demand, a_connect_that_fails_everywhere_releases) {
  GatewayWorld world;
  world.add_engine().refuse_connections();
  EXPECT_EQ(world.ask(chat()).status(), 502);
  EXPECT_EQ(demand_of(world).started, 1u);
  EXPECT_EQ(running(world), 0u);
}

TEST(Demand, a_request_that_finds_no_ready_replica_is_counted_where_it_would_have_gone) {
  GatewayWorld world;
  world.deployment("dep-a").model = "model-a";
  world.deployment("dep-b").model = "model-a";
  world.deployment("dep-b").weight = 5;
  world.publish();
  EXPECT_EQ(world.ask(chat()).status(), 503);
  EXPECT_EQ(demand_of(world, "dep-b").started, 1u);
  EXPECT_EQ(running(world, "dep-b"), 0u);
  EXPECT_EQ(world.slot().demands().active(), std::vector<std::string>{"dep-b"});
}

TEST(Demand, all_gateways_of_a_deployment_count_together_and_a_new_table_goes_on_counting) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  world.other_gateways.push_back(world.route);
  world.other_gateways.back().id = "gw2";
  world.publish();
  RawPeer first = world.connect();
  world.send(first, chat());
  world.at_engine(engine, 0);
  RawPeer second = world.connect();
  world.send(second, request_text("POST", "/gateways/gw2/v1/chat/completions",
                                  R"({"model":"model-a"})", "Content-Type: application/json\r\n"));
  world.at_engine(engine, 1);
  world.publish();
  EXPECT_EQ(running(world), 2u);
  EXPECT_EQ(demand_of(world).highest, 2u);

  // Taken off every gateway, its streams are still demand until they end.
  world.route.deployments.clear();
  world.other_gateways.clear();
  world.publish();
  EXPECT_EQ(running(world), 2u);
  engine.peer(0).send(answer_with("{}"));
  engine.peer(1).send(answer_with("{}"));
  world.answer(first);
  world.answer(second);
  EXPECT_EQ(running(world), 0u);
}

}  // namespace
}  // namespace staithe::gateway
