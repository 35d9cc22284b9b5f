#pragma once

#include <functional>

namespace staithe {

// Runs pieces of work where and when it sees fit.
class Executor {
 public:
  virtual ~Executor() = default;

  // False when it takes no more: `work` never runs, and the caller tries again later or answers
  // UNAVAILABLE, it does not wait. Otherwise `work` runs exactly once, on any thread, possibly
  // before this returns.
  [[nodiscard]] virtual bool submit(std::function<void()> work) = 0;
};

// Runs everything at once, on the caller's thread.
class InlineExecutor final : public Executor {
 public:
  [[nodiscard]] bool submit(std::function<void()> work) override {
    work();
    return true;
  }
};

}  // namespace staithe
