#pragma once

#include <functional>

#include "net/event_loop.h"

namespace staithe::net {

// One deadline that moves often and rarely passes. Moving it later costs nothing: the timer behind
// it stays where it is, and when it fires early it is set again for what is left.
class Deadline {
 public:
  Deadline(EventLoop& loop, std::function<void()> on_passed);
  ~Deadline() { loop_.cancel(timer_); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  static constexpr Instant never = Instant::max();

  void set(Instant due);
  void clear() { due_ = never; }

 private:
  void schedule();
  void check();

  EventLoop& loop_;
  std::function<void()> on_passed_;
  Instant due_ = never;
  Instant timer_due_ = never;
  TimerId timer_ = 0;
};

}  // namespace staithe::net
