#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <vector>

#include "base/executor.h"
#include "sim/stage.h"

namespace staithe::sim {

// The threads that wait for machines: what is handed over runs later, in any order, and some of it
// not before minutes have passed.
class SimExecutor final : public Executor {
 public:
  SimExecutor(Stage& stage, Timeline::Owner owner, std::function<void()> on_done)
      : stage_(stage), owner_(owner), on_done_(std::move(on_done)) {}

  [[nodiscard]] bool submit(std::function<void()> work) override;

  // The next `count` pieces of work that begin hang until heal().
  void hang_next(std::size_t count) { hangs_left_ += count; }
  // No more of them do.
  void hang_no_more() { hangs_left_ = 0; }
  std::size_t hung() const { return hung_.size(); }
  void heal();

 private:
  static constexpr std::size_t threads_max = 16;

  void begin();
  void finish(const std::function<void()>& work);

  Stage& stage_;
  const Timeline::Owner owner_;
  const std::function<void()> on_done_;
  std::vector<std::function<void()>> queue_;
  std::vector<std::function<void()>> hung_;
  std::size_t running_ = 0;  // hung ones included
  std::size_t hangs_left_ = 0;
};

}  // namespace staithe::sim
