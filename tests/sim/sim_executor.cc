#include "sim/sim_executor.h"

#include <utility>

namespace staithe::sim {
namespace {

using namespace std::chrono_literals;

}  // namespace

bool SimExecutor::submit(std::function<void()> work) {
  if (stage_.strikes(stage_.weather.executor_is_full, "executor full")) return false;
  queue_.push_back(std::move(work));
  begin();
  return true;
}

void SimExecutor::heal() {
  hang_no_more();
  for (const auto& work : std::exchange(hung_, {})) {
    stage_.timeline.after(stage_.dice.between(Duration{0}, Duration{100ms}), owner_,
                          [this, work] { finish(work); });
  }
}

void SimExecutor::begin() {
  while (!queue_.empty() && running_ < threads_max) {
    const std::size_t at = stage_.dice.between(0, queue_.size() - 1);
    std::function<void()> work = std::move(queue_[at]);
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
    running_ += 1;
    if (hangs_left_ > 0) {
      hangs_left_ -= 1;
      stage_.counters.count("action hangs");
      stage_.trace.note("an action of the driver hangs");
      hung_.push_back(std::move(work));
      continue;
    }
    const Duration takes = stage_.strikes(stage_.weather.action_is_slow, "action slow")
                               ? stage_.dice.between(Duration{100ms}, Duration{20s})
                               : stage_.dice.between(Duration{50us}, Duration{10ms});
    stage_.timeline.after(takes, owner_, [this, work = std::move(work)] { finish(work); });
  }
}

void SimExecutor::finish(const std::function<void()>& work) {
  running_ -= 1;
  work();
  on_done_();
  begin();
}

}  // namespace staithe::sim
