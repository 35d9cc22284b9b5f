#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "gateway/usage_table.h"
#include "store/store.h"

namespace staithe::app {

// Adds to the store what the gateways have counted, in one transaction every `interval`, on a
// thread of its own. While the store fails the rows are kept, added up, and tried again; no request
// ever waits for it. A process that is killed takes what its last interval counted with it.
class UsageWriter {
 public:
  // Rows that differ in their key, waiting for a store that does not take them. Far more than any
  // outage of hours makes: beyond it rows are lost, counted and said to be.
  static constexpr std::size_t rows_max = 100'000;

  UsageWriter(gateway::UsageBook& book, store::Store& store, std::chrono::milliseconds interval,
              Metrics& metrics, const Log& log);
  // Writes what is left, once.
  ~UsageWriter();
  UsageWriter(const UsageWriter&) = delete;
  UsageWriter& operator=(const UsageWriter&) = delete;

 private:
  void run();
  void collect();
  // True when nothing is left to be written.
  bool write();

  gateway::UsageBook& book_;
  store::Store& store_;
  const std::chrono::milliseconds interval_;
  const Log& log_;
  Counter& lost_;
  gateway::UsageRows rows_;  // of the thread

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool is_stopping_ = false;

  Thread thread_;
};

}  // namespace staithe::app
