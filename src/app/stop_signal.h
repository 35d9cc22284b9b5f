#pragma once

#include <signal.h>

#include <chrono>

namespace staithe::app {

// Blocks SIGTERM and SIGINT for every thread made later, and waits for one of them.
class StopSignal {
 public:
  StopSignal() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    signal(SIGPIPE, SIG_IGN);
  }
  void wait() {
    int received = 0;
    while (sigwait(&signals_, &received) != 0) {
    }
  }
  // True when another one came within `time`.
  bool wait_for(std::chrono::milliseconds time) {
    const timespec limit{time.count() / 1000, time.count() % 1000 * 1'000'000};
    return sigtimedwait(&signals_, nullptr, &limit) > 0;
  }

 private:
  sigset_t signals_{};
};

}  // namespace staithe::app
