#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/metrics.h"
#include "wire/dialect.h"

namespace staithe::wire {

// Counts calls by method, dialect and outcome, and how long they took. Looking a series up costs as
// much as a small call does, so each is looked up once. Any thread.
class CallMetrics {
 public:
  CallMetrics(Metrics& metrics, const MethodTable& table);

  // `method` is null for a request that calls none.
  void count(const Method* method, const Dialect& dialect, Code code, Duration took) const;

 private:
  static constexpr std::size_t code_count = 17;
  struct Series {
    std::string method;
    Histogram* seconds = nullptr;
    std::array<std::array<std::atomic<Counter*>, code_count>, dialect_count> calls{};
  };

  Metrics& metrics_;
  std::unordered_map<const Method*, std::unique_ptr<Series>> by_method_;  // complete from the start
};

}  // namespace staithe::wire
