#include "net/deadline.h"

#include <utility>

namespace staithe::net {

Deadline::Deadline(EventLoop& loop, std::function<void()> on_passed)
    : loop_(loop), on_passed_(std::move(on_passed)) {}

void Deadline::set(Instant due) {
  due_ = due;
  if (due_ != never && (timer_ == 0 || timer_due_ > due_)) schedule();
}

void Deadline::schedule() {
  loop_.cancel(timer_);
  timer_due_ = due_;
  timer_ = loop_.run_after(due_ - loop_.now(), [this] { check(); });
}

void Deadline::check() {
  timer_ = 0;
  if (due_ == never) return;
  if (due_ > loop_.now()) return schedule();
  due_ = never;
  on_passed_();
}

}  // namespace staithe::net
