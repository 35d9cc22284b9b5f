#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace staithe {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// A number that only grows. Any thread.
class Counter {
 public:
  void add(std::uint64_t by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A number that goes up and down. Any thread.
class Gauge {
 public:
  void add(std::int64_t by) { value_.fetch_add(by, std::memory_order_relaxed); }
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Durations in buckets, in seconds. Any thread.
class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds_s);
  void observe(double value_s);

 private:
  friend class Metrics;
  std::vector<double> upper_bounds_s_;
  std::vector<std::unique_ptr<std::atomic<std::uint64_t>>> buckets_;  // one more than bounds: +Inf
  std::atomic<std::uint64_t> sum_us_{0};
};

// The metrics of this process, drawn in the Prometheus text format (version 0.0.4). Looking a
// metric up takes a lock: keep the reference. Callers bound their label values; a family holds at
// most `series_max` series and everything beyond shares one whose label values are all "other", so
// that made-up names cannot grow memory.
class Metrics {
 public:
  static constexpr std::size_t series_max = 2000;

  Counter& counter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help,
                       const MetricLabels& labels = {});
  std::string render() const;

 private:
  struct Series {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
  };
  struct Family {
    std::string help;
    std::string type;
    std::map<MetricLabels, Series> series;
  };
  Series& series(std::string_view name, std::string_view help, std::string_view type,
                 const MetricLabels& labels);

  mutable std::mutex mutex_;  // guards families_; the series themselves are atomics
  std::map<std::string, Family, std::less<>> families_;
};

}  // namespace staithe
