#include "net/event_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "base/thread.h"
#include "net/deadline.h"
#include "net/timer_queue.h"

namespace staithe::net {
namespace {

using std::chrono::milliseconds;

struct SocketPair {
  SocketPair() {
    std::array<int, 2> fds{};
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    near = UniqueFd(fds[0]);
    far = UniqueFd(fds[1]);
  }
  UniqueFd near;
  UniqueFd far;
};

class CallingHandler final : public FdHandler {
 public:
  explicit CallingHandler(std::function<void(std::uint32_t)> call) : call_(std::move(call)) {}
  void on_ready(std::uint32_t epoll_events) override { call_(epoll_events); }

 private:
  std::function<void(std::uint32_t)> call_;
};

void ring(const UniqueFd& fd) {
  CHECK(::send(fd.get(), "x", 1, MSG_NOSIGNAL) == 1);
}

TEST(EventLoop, runs_timers_in_the_order_they_are_due_and_equal_ones_by_age) {
  FakeClock clock;
  EventLoop loop(clock);
  std::string order;
  loop.run_after(milliseconds(20), [&order] { order += 'c'; });
  loop.run_after(milliseconds(10), [&order] { order += 'a'; });
  loop.run_after(milliseconds(10), [&order] { order += 'b'; });

  loop.run_once(Duration::zero());
  EXPECT_EQ(order, "");
  clock.advance(milliseconds(10));
  loop.run_once(Duration::zero());
  EXPECT_EQ(order, "ab");
  clock.advance(milliseconds(10));
  loop.run_once(Duration::zero());
  EXPECT_EQ(order, "abc");
}

TEST(EventLoop, does_not_run_a_cancelled_timer_even_one_due_in_the_same_turn) {
  FakeClock clock;
  EventLoop loop(clock);
  int runs = 0;
  TimerId second = 0;
  loop.run_after(milliseconds(1), [&] { loop.cancel(second); });
  second = loop.run_after(milliseconds(1), [&runs] { ++runs; });
  clock.advance(milliseconds(1));
  loop.run_once(Duration::zero());
  EXPECT_EQ(runs, 0);
  loop.cancel(second);
  loop.cancel(0);
}

TEST(EventLoop, leaves_a_timer_set_by_a_timer_to_the_next_turn) {
  FakeClock clock;
  EventLoop loop(clock);
  int runs = 0;
  std::function<void()> again = [&] {
    ++runs;
    loop.run_after(Duration::zero(), again);
  };
  loop.run_after(Duration::zero(), again);
  loop.run_once(Duration::zero());
  EXPECT_EQ(runs, 1);
  loop.run_once(Duration::zero());
  EXPECT_EQ(runs, 2);
}

TEST(EventLoop, keeps_the_order_of_a_turn) {
  const SystemClock clock;
  EventLoop loop(clock);
  SocketPair pair;
  std::string order;
  struct Dying {
    std::string& order;
    ~Dying() { order += "destroyed "; }
  };
  CallingHandler handler([&](std::uint32_t) {
    order += "ready ";
    loop.unwatch(pair.near.get());
    loop.destroy_later(std::make_unique<Dying>(order));
    loop.at_end_of_turn([&] {
      order += "flush ";
      loop.at_end_of_turn([&order] { order += "flush-again "; });
    });
    loop.post([&order] { order += "posted "; });
    loop.run_after(Duration::zero(), [&order] { order += "timer "; });
  });
  loop.watch(pair.near.get(), EPOLLIN, handler);
  ring(pair.far);
  loop.run_once(milliseconds(100));
  EXPECT_EQ(order, "ready timer posted flush flush-again destroyed ");
}

TEST(EventLoop, never_gives_an_event_of_a_closed_descriptor_to_the_next_user_of_its_number) {
  const SystemClock clock;
  EventLoop loop(clock);
  SocketPair first;
  SocketPair second;
  SocketPair reused;
  int wrong_calls = 0;
  int closer_calls = 0;
  CallingHandler innocent([&](std::uint32_t) { ++wrong_calls; });
  // Whichever of the two is told first closes the other, and its number goes to an idle socket.
  const auto replace = [&](UniqueFd& victim) {
    ++closer_calls;
    const int number = victim.get();
    loop.unwatch(number);
    CHECK(::dup3(reused.near.get(), number, O_CLOEXEC) == number);
    loop.watch(number, EPOLLIN, innocent);
  };
  CallingHandler first_handler([&](std::uint32_t) { replace(second.near); });
  CallingHandler second_handler([&](std::uint32_t) { replace(first.near); });
  loop.watch(first.near.get(), EPOLLIN, first_handler);
  loop.watch(second.near.get(), EPOLLIN, second_handler);
  ring(first.far);
  ring(second.far);
  loop.run_once(milliseconds(100));
  EXPECT_EQ(closer_calls, 1);
  EXPECT_EQ(wrong_calls, 0);
}

TEST(EventLoop, runs_posted_work_in_order_and_stops_from_another_thread) {
  const SystemClock clock;
  EventLoop loop(clock);
  std::vector<int> order;
  Thread poster("poster", [&loop, &order] {
    for (int i = 0; i < 1'000; ++i) {
      loop.post([&order, i] { order.push_back(i); });
    }
    loop.post([&loop] { loop.stop(); });
  });
  loop.run();
  poster.join();
  ASSERT_EQ(order.size(), 1'000u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(EventLoop, does_not_run_cancelled_turn_work) {
  FakeClock clock;
  EventLoop loop(clock);
  int runs = 0;
  const TurnWorkId work = loop.at_end_of_turn([&runs] { ++runs; });
  loop.cancel_turn_work(work);
  loop.run_once(Duration::zero());
  EXPECT_EQ(runs, 0);
  loop.cancel_turn_work(work);
  const TurnWorkId later = loop.at_end_of_turn([&runs] { ++runs; });
  loop.cancel_turn_work(work);
  EXPECT_NE(work, later);
  loop.run_once(Duration::zero());
  EXPECT_EQ(runs, 1);
}

TEST(EventLoop, lets_what_it_still_holds_use_it_while_it_goes) {
  FakeClock clock;
  struct Canceller {
    EventLoop& loop;
    TimerId timer;
    ~Canceller() { loop.cancel(timer); }
  };
  auto loop = std::make_unique<EventLoop>(clock);
  const TimerId timer = loop->run_after(milliseconds(5), [] {});
  auto canceller = std::make_shared<Canceller>(*loop, timer);
  loop->run_after(milliseconds(1), [canceller] {});
  loop->post([canceller] {});
  loop->destroy_later(std::make_unique<Canceller>(*loop, timer));
  canceller.reset();
  loop.reset();
}

TEST(TimerQueue, agrees_with_a_sorted_list_under_random_adds_and_cancels) {
  SeededRandom random(7);
  TimerQueue queue;
  std::vector<std::pair<int, TimerId>> alive;  // due in ms
  std::vector<int> fired;
  for (int i = 0; i < 5'000; ++i) {
    if (random.below(3) > 0 || alive.empty()) {
      const int due = static_cast<int>(random.below(1'000));
      const TimerId id =
          queue.add(Instant(milliseconds(due)), [&fired, due] { fired.push_back(due); });
      alive.emplace_back(due, id);
    } else {
      const std::size_t index = random.below(alive.size());
      queue.cancel(alive[index].second);
      queue.cancel(alive[index].second);
      alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }
  ASSERT_EQ(queue.size(), alive.size());
  while (auto work = queue.take_due(Instant(milliseconds(1'000)), queue.mark())) work();
  std::vector<int> expected;
  for (const auto& [due, id] : alive) expected.push_back(due);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(fired, expected);
}

TEST(Deadline, passes_once_at_the_last_time_it_was_moved_to) {
  FakeClock clock;
  EventLoop loop(clock);
  int passes = 0;
  Deadline deadline(loop, [&passes] { ++passes; });
  deadline.set(loop.now() + milliseconds(10));
  deadline.set(loop.now() + milliseconds(30));
  clock.advance(milliseconds(20));
  loop.run_once(Duration::zero());
  EXPECT_EQ(passes, 0);
  deadline.set(loop.now() + milliseconds(5));
  clock.advance(milliseconds(5));
  loop.run_once(Duration::zero());
  EXPECT_EQ(passes, 1);
  clock.advance(milliseconds(50));
  loop.run_once(Duration::zero());
  EXPECT_EQ(passes, 1);
}

TEST(Deadline, does_not_pass_once_cleared) {
  FakeClock clock;
  EventLoop loop(clock);
  int passes = 0;
  Deadline deadline(loop, [&passes] { ++passes; });
  deadline.set(loop.now() + milliseconds(10));
  deadline.clear();
  clock.advance(milliseconds(20));
  loop.run_once(Duration::zero());
  EXPECT_EQ(passes, 0);
}

}  // namespace
}  // namespace staithe::net
