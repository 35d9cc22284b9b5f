#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/thread.h"

namespace staithe {

// A bounded pool for blocking work (database, files, libcurl), so that no event loop waits.
// Any thread may submit. Destruction runs what is queued and joins.
class WorkerPool final : public Executor {
 public:
  WorkerPool(const std::string& name, std::size_t thread_count, std::size_t queue_length_max);
  ~WorkerPool() override;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False when the queue is full.
  [[nodiscard]] bool submit(std::function<void()> work) override;

 private:
  void run();

  const std::size_t queue_length_max_;
  std::mutex mutex_;  // guards queue_ and stopping_
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<Thread> threads_;
};

}  // namespace staithe
