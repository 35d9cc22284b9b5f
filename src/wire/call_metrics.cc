#include "wire/call_metrics.h"

#include <chrono>
#include <utility>

#include "base/check.h"

namespace staithe::wire {

CallMetrics::CallMetrics(Metrics& metrics, const MethodTable& table) : metrics_(metrics) {
  const auto add = [this](const Method* method, std::string name) {
    auto series = std::make_unique<Series>();
    series->method = std::move(name);
    series->seconds = &metrics_.histogram("staithe_api_request_seconds",
                                          "Time from an API call's head to its answer.",
                                          {{"method", series->method}});
    by_method_.emplace(method, std::move(series));
  };
  add(nullptr, "none");
  for (const Method& method : table) add(&method, method.name);
}

void CallMetrics::count(const Method* method, const Dialect& dialect, Code code,
                        Duration took) const {
  const auto found = by_method_.find(method);
  CHECK(found != by_method_.end());
  Series& series = *found->second;
  std::atomic<Counter*>& slot =
      series.calls[static_cast<std::size_t>(dialect.id())][static_cast<std::size_t>(code)];
  Counter* counter = slot.load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter =
        &metrics_.counter("staithe_api_requests_total", "API calls by method, dialect and outcome.",
                          {{"method", series.method},
                           {"dialect", std::string(dialect.name())},
                           {"code", std::string(code_name(code))}});
    slot.store(counter, std::memory_order_release);
  }
  counter->add();
  series.seconds->observe(std::chrono::duration<double>(took).count());
}

}  // namespace staithe::wire
