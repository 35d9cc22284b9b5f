#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/thread.h"
#include "gateway/testing/gateway_world.h"

// Limits and queues that several loops share.
namespace staithe::gateway {
namespace {

using namespace testing;

TEST(SharedSlots, all_threads_together_never_take_more_than_there_are) {
  constexpr std::uint32_t concurrency = 3;
  const auto load = std::make_shared<ReplicaLoad>("r");
  Gauge gauge;
  std::atomic<std::uint32_t> held{0};
  std::atomic<std::uint32_t> held_max{0};
  {
    std::vector<Thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back("taker", [&] {
        for (int round = 0; round < 20'000; ++round) {
          std::vector<InFlight> mine;
          for (std::uint32_t tries = 0; tries <= concurrency; ++tries) {
            auto slot = InFlight::reserve(load, concurrency, gauge, {});
            if (!slot) continue;
            mine.push_back(*std::move(slot));
            const std::uint32_t now_held = held.fetch_add(1) + 1;
            std::uint32_t seen = held_max.load();
            while (now_held > seen && !held_max.compare_exchange_weak(seen, now_held)) {
            }
          }
          // Before the slots are free, or another thread would be seen to have too many.
          held.fetch_sub(static_cast<std::uint32_t>(mine.size()));
        }
      });
    }
  }
  EXPECT_EQ(held_max.load(), concurrency);
  EXPECT_EQ(load->in_flight(), 0u);
}

// Another loop that serves the same routes.
struct OtherLoop {
  explicit OtherLoop(GatewayWorld& world)
      : loop(world.clock()),
        gateway(loop, world.clock(), random, world.tokens(), world.slot(), metrics, log, {}) {
    net::Listener listener = net::testing::listen_on_loopback();
    port = listener.port;
    server = std::make_unique<net::HttpServer>(loop, gateway, std::move(listener));
  }
  Metrics metrics;
  SeededRandom random{1};
  Log log{2, LogLevel::error};
  net::EventLoop loop;
  Gateway gateway;
  std::uint16_t port = 0;
  std::unique_ptr<net::HttpServer> server;
};

TEST(SharedQueue, a_slot_that_one_loop_frees_goes_to_who_waits_on_another) {
  GatewayWorld world;
  world.deployment("dep-a").concurrency = 1;
  FakeEngine& engine = world.add_engine();
  OtherLoop other(world);
  const auto until = [&](auto is_done) {
    return world.until([&] {
      other.loop.run_once(std::chrono::milliseconds(0));
      return is_done();
    });
  };
  RawPeer first = world.connect();
  world.send(first, chat());
  ASSERT_TRUE(until([&] { return engine.request(0).has_value(); }));
  RawPeer second = RawPeer::connect(other.port);
  second.send(chat());
  ASSERT_TRUE(until([&] { return world.metric("staithe_gateway_queued_requests") == 1; }));
  EXPECT_EQ(engine.connection_count(), 1u);
  engine.peer(0).send(answer_with("{}"));
  engine.peer(0).forget_received();
  ASSERT_TRUE(until([&] { return engine.request(1).has_value(); }));
  engine.peer(1).send(answer_with("{}"));
  ASSERT_TRUE(until([&] { return second.has_received("200 OK"); }));
  EXPECT_EQ(world.in_flight(), 0u);
}

// Threads that take and free two slots as fast as they can, each as a loop of its own would: a
// wake-up that got lost would leave somebody waiting for ever.
TEST(SharedQueue, no_wake_up_is_lost_between_threads) {
  constexpr int rounds = 2'000;
  const auto queue = std::make_shared<DeploymentQueue>();
  const auto load = std::make_shared<ReplicaLoad>("r", 1, queue);
  Gauge gauge;
  SystemClock clock;
  std::atomic<int> served{0};
  const auto body = [&](const std::string& caller) {
    net::EventLoop loop(clock);
    for (int i = 0; i < rounds; ++i) {
      auto slot = queue->is_waited_in() ? std::nullopt : InFlight::reserve(load, 2, gauge, {});
      std::unique_ptr<DeploymentQueue::Place> place;
      if (!slot) {
        place = DeploymentQueue::join(queue, caller, 1000, loop, [&](DeploymentQueue::Turn) {
          slot = InFlight::reserve(load, 2, gauge, {});
          if (slot) return place->use_turn();
          place->wait_on();
          if (load->has_room(2)) queue->call_next();
        });
        if (load->has_room(2)) queue->call_next();
      }
      const Instant deadline = clock.instant() + std::chrono::seconds(20);
      while (!slot && clock.instant() < deadline) loop.run_once(std::chrono::milliseconds(100));
      if (!slot) return;
      served.fetch_add(1);
      place.reset();
      if (load->has_room(2)) queue->call_next();
    }
  };
  {
    std::vector<Thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back("loop", [&body, i] { body(std::to_string(i % 2)); });
    }
  }
  EXPECT_EQ(served.load(), 4 * rounds);
  EXPECT_EQ(load->in_flight(), 0u);
  EXPECT_EQ(queue->size(), 0u);
}

}  // namespace
}  // namespace staithe::gateway
