#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;
using std::chrono::seconds;

class Outlier : public ::testing::Test {
 protected:
  void serve(std::size_t count, const OutlierOptions& outliers = {.failures_max = 3}) {
    Options options;
    options.outliers = outliers;
    world.emplace(options);
    for (std::size_t i = 0; i < count; ++i) {
      engines.push_back(&world->add_engine());
      answer(i, "200 OK");
    }
  }
  void answer(std::size_t i, const std::string& status) {
    engines[i]->script = [status](const Message&) { return answer_with("{}", status); };
  }
  // Asks so often that every replica which may be chosen is, many times over.
  void ask_many() {
    for (int i = 0; i < 40; ++i) world->ask(chat());
  }
  // How many of so many requests engine `i` gets.
  std::size_t share(std::size_t i) {
    const std::size_t before = engines[i]->request_count();
    ask_many();
    return engines[i]->request_count() - before;
  }
  long ejected() { return world->metric("staithe_gateway_ejected_replicas"); }
  long ejections() { return world->metric("staithe_gateway_replica_ejections_total"); }

  std::optional<GatewayWorld> world;
  std::vector<FakeEngine*> engines;
};

TEST_F(Outlier, a_replica_that_fails_one_request_after_the_other_gets_none_for_a_while) {
  for (const auto status : {"502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"}) {
    engines.clear();
    serve(2);
    answer(0, status);
    EXPECT_EQ(share(0), 3u) << status;
    EXPECT_EQ(ejected(), 1);
    EXPECT_EQ(share(0), 0u);
    EXPECT_NE(world->logged().find("replica_ejected"), std::string::npos);
  }
}

TEST_F(Outlier, so_does_one_that_breaks_off) {
  serve(2);
  engines[0]->script = nullptr;
  engines[0]->is_reading = true;
  for (int broken = 0; broken < 3;) {
    const std::size_t before = engines[0]->connection_count();
    RawPeer client = world->connect();
    world->send(client, chat());
    ASSERT_TRUE(world->until(
        [&] { return client.has_received("200 OK") || engines[0]->request(before).has_value(); }));
    if (client.has_received("200 OK")) continue;
    engines[0]->peer(before).close_with_reset();
    world->answer(client);
    ++broken;
  }
  EXPECT_EQ(ejected(), 1);
}

TEST_F(Outlier, so_does_one_whose_streams_never_end) {
  serve(2);
  engines[0]->script = nullptr;
  for (int broken = 0; broken < 3;) {
    const std::size_t before = engines[0]->connection_count();
    RawPeer client = world->connect();
    world->send(client, chat());
    ASSERT_TRUE(world->until(
        [&] { return client.has_received("{}") || engines[0]->request(before).has_value(); }));
    if (client.has_received("{}")) continue;
    engines[0]->peer(before).send(std::string(stream_head) + chunk("data: 1\n\n"));
    ASSERT_TRUE(world->until([&] { return client.has_received("data: 1"); }));
    engines[0]->peer(before).close_with_reset();
    world->answer(client);
    ++broken;
  }
  EXPECT_EQ(ejected(), 1);
}

TEST_F(Outlier, R09_a_replica_that_recovers_is_used_again_after_the_hold_down) {
  serve(2, {.failures_max = 1, .ejected_for = seconds(10)});
  answer(0, "503 Service Unavailable");
  EXPECT_EQ(share(0), 1u);
  answer(0, "200 OK");
  world->advance(seconds(9));
  EXPECT_EQ(share(0), 0u);
  world->advance(seconds(2));
  EXPECT_EQ(ejected(), 0);
  EXPECT_GT(share(0), 5u);
  EXPECT_EQ(ejections(), 1);
}

TEST_F(Outlier, R09_one_failure_is_none_in_a_row) {
  serve(2);
  for (int i = 0; i < 5; ++i) {
    answer(0, "503 Service Unavailable");
    for (int failed = 0; failed < 2;) failed += world->ask(chat()).status() == 503 ? 1 : 0;
    answer(0, "200 OK");
    EXPECT_GT(share(0), 5u);
  }
  EXPECT_EQ(ejections(), 0);
}

TEST_F(Outlier, R01_answers_4xx_and_500_never_eject) {
  for (const auto status : {"400 Bad Request", "401 Unauthorized", "404 Not Found",
                            "429 Too Many Requests", "500 Internal Server Error"}) {
    engines.clear();
    serve(2);
    answer(0, status);
    EXPECT_GT(share(0), 5u) << status;
    EXPECT_EQ(ejections(), 0) << status;
  }
}

TEST_F(Outlier, a_replica_that_fails_again_is_ejected_at_once_and_for_twice_as_long) {
  serve(2, {.failures_max = 3, .ejected_for = seconds(10), .ejected_for_max = seconds(30)});
  answer(0, "503 Service Unavailable");
  EXPECT_EQ(share(0), 3u);
  for (const int time : {10, 20, 30, 30}) {
    world->advance(seconds(time) - std::chrono::milliseconds(10));
    EXPECT_EQ(share(0), 0u) << time;
    world->advance(std::chrono::milliseconds(20));
    EXPECT_EQ(share(0), 1u) << time;
  }
  answer(0, "200 OK");
  world->advance(seconds(31));
  EXPECT_GT(share(0), 5u);
  world->advance(seconds(31));
  answer(0, "503 Service Unavailable");
  EXPECT_EQ(share(0), 3u) << "it had been fine for long enough";
  world->advance(seconds(11));
  EXPECT_EQ(share(0), 1u);
}

TEST_F(Outlier, no_more_than_a_part_of_the_replicas_is_ejected_and_never_the_last) {
  serve(4, {.failures_max = 1, .percent_max = 50});
  for (std::size_t i = 0; i < 4; ++i) answer(i, "503 Service Unavailable");
  ask_many();
  EXPECT_EQ(ejected(), 2);
  engines.clear();
  serve(2, {.failures_max = 1, .percent_max = 100});
  answer(0, "503 Service Unavailable");
  answer(1, "503 Service Unavailable");
  ask_many();
  EXPECT_EQ(ejected(), 1);
}

TEST_F(Outlier, the_only_replica_is_never_ejected) {
  serve(1, {.failures_max = 1});
  answer(0, "503 Service Unavailable");
  EXPECT_EQ(share(0), 40u);
  EXPECT_EQ(ejections(), 0);
}

TEST_F(Outlier, a_replica_under_a_new_address_has_a_new_start) {
  serve(2, {.failures_max = 1});
  answer(0, "503 Service Unavailable");
  ask_many();
  ASSERT_EQ(share(0), 0u);
  FakeEngine& moved = world->add_engine("dep-b", "model-b");
  moved.script = [](const Message&) { return answer_with("{}"); };
  auto& replicas = world->deployment("dep-a").ready_replicas;
  replicas[0].endpoint.port = moved.port();
  world->publish();
  ask_many();
  EXPECT_GT(moved.request_count(), 5u);
}

TEST_F(Outlier, when_a_replica_returns_it_takes_who_waits) {
  serve(2, {.failures_max = 1, .ejected_for = seconds(10)});
  world->deployment("dep-a").concurrency = 1;
  world->publish();
  answer(0, "503 Service Unavailable");
  while (ejected() == 0) world->ask(chat());
  engines[0]->script = engines[1]->script = nullptr;
  RawPeer first = world->connect();
  world->send(first, chat());
  ASSERT_TRUE(world->until([&] { return world->in_flight("dep-a-2") == 1; }));
  RawPeer second = world->connect();
  world->send(second, chat());
  ASSERT_TRUE(world->until([&] { return world->metric("staithe_gateway_queued_requests") == 1; }));
  world->advance(seconds(11));
  EXPECT_TRUE(world->until([&] { return world->in_flight("dep-a-1") == 1; }));
}

}  // namespace
}  // namespace staithe::gateway
