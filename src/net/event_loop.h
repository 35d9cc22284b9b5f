#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace staithe::net {

// Told when a file descriptor is ready. A handler may close its descriptor, unwatch and destroy
// itself only through EventLoop::destroy_later.
class FdHandler {
 public:
  virtual ~FdHandler() = default;
  virtual void on_ready(std::uint32_t epoll_events) = 0;
};

using TimerId = std::uint64_t;     // 0 is no timer
using TurnWorkId = std::uint64_t;  // 0 is no work

// One epoll loop on one thread. Everything but post() and stop() belongs to that thread.
//
// Order within a turn: ready descriptors, due timers, posted work, then the end-of-turn work
// (flushes), then the destruction of what was handed to destroy_later().
class EventLoop {
 public:
  explicit EventLoop(const Clock& clock);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs turns until stop().
  void run();
  // One turn; waits at most `wait_max`. For tests and for embedding.
  void run_once(Duration wait_max);
  void stop();                            // any thread
  void post(std::function<void()> work);  // any thread; runs on the loop, in order
  bool is_loop_thread() const;

  // The time at the start of this turn, so that a turn reads the clock once.
  Instant now() const { return now_; }
  const Clock& clock() const { return clock_; }

  TimerId run_after(Duration delay, std::function<void()> work);
  void cancel(TimerId timer);  // harmless when it has fired or is 0

  // `epoll_events` is a set of EPOLLIN, EPOLLOUT, EPOLLRDHUP; level-triggered.
  void watch(int fd, std::uint32_t epoll_events, FdHandler& handler);
  void rewatch(int fd, std::uint32_t epoll_events, FdHandler& handler);
  void unwatch(int fd);

  // Work at the end of this turn, before sleeping: where connections flush what a turn has
  // gathered. Work added by such work runs in the same turn.
  TurnWorkId at_end_of_turn(std::function<void()> work);
  void cancel_turn_work(TurnWorkId work);  // harmless when it has run or is 0

  // Where descriptors are read into, so that no connection needs a buffer of its own. What is in it
  // lasts until the FdHandler that filled it returns.
  std::span<char> read_buffer();
  // Room, half as large again, for what is made of those bytes; as lasting. Has memory once it was
  // asked for.
  std::span<char> second_buffer();

  // Empty texts whose memory was used before, a few KiB each, for who gathers bytes for a short
  // while. The loop keeps a bounded number of them.
  std::string take_spare_text();
  void give_spare_text(std::string text);

  // Destroys `object` once this turn is over, so that whoever is on the stack may finish.
  template <typename T>
  void destroy_later(std::unique_ptr<T> object) {
    if (object != nullptr) destroy_later_impl(std::shared_ptr<void>(std::move(object)));
  }
  // Destroys what destroy_later() holds at once, unless a turn is running. For owners that may go
  // between turns and then must leave nothing behind.
  void destroy_pending();

 private:
  void destroy_later_impl(std::shared_ptr<void> object);
  void dispatch_ready(int ready_count);
  void run_due_timers();
  void run_posted();
  void run_turn_work();
  void destroy_doomed();

  struct Impl;
  const Clock& clock_;
  Instant now_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace staithe::net
