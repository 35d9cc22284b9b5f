#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace staithe {
namespace {

// The escapes of the text format: backslash, quote and line feed.
std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string draw_labels(const MetricLabels& labels, std::string_view extra = {}) {
  std::string out;
  for (const auto& [key, value] : labels) {
    out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", key, escape(value));
  }
  if (!extra.empty()) out += fmt::format("{}{}", out.empty() ? "" : ",", extra);
  return out.empty() ? out : "{" + out + "}";
}

}  // namespace

Histogram::Histogram(std::vector<double> upper_bounds_s)
    : upper_bounds_s_(std::move(upper_bounds_s)) {
  for (std::size_t i = 0; i <= upper_bounds_s_.size(); ++i) {
    buckets_.push_back(std::make_unique<std::atomic<std::uint64_t>>(0));
  }
}

void Histogram::observe(double value_s) {
  const auto bound = std::lower_bound(upper_bounds_s_.begin(), upper_bounds_s_.end(), value_s);
  buckets_[static_cast<std::size_t>(bound - upper_bounds_s_.begin())]->fetch_add(
      1, std::memory_order_relaxed);
  sum_us_.fetch_add(static_cast<std::uint64_t>(value_s * 1e6), std::memory_order_relaxed);
}

Metrics::Series& Metrics::series(std::string_view name, std::string_view help,
                                 std::string_view type, const MetricLabels& labels) {
  auto family = families_.find(name);
  if (family == families_.end()) {
    family = families_.emplace(std::string(name), Family{std::string(help), std::string(type), {}})
                 .first;
  }
  CHECK_THAT(family->second.type == type, std::string(name));
  auto& all = family->second.series;
  if (const auto found = all.find(labels); found != all.end()) return found->second;
  if (all.size() < series_max) return all[labels];
  MetricLabels other = labels;
  for (auto& label : other) label.second = "other";
  return all[other];
}

Counter& Metrics::counter(std::string_view name, std::string_view help,
                          const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  auto& slot = series(name, help, "counter", labels).counter;
  if (slot == nullptr) slot = std::make_unique<Counter>();
  return *slot;
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  auto& slot = series(name, help, "gauge", labels).gauge;
  if (slot == nullptr) slot = std::make_unique<Gauge>();
  return *slot;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help,
                              const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  auto& slot = series(name, help, "histogram", labels).histogram;
  if (slot == nullptr) {
    slot = std::make_unique<Histogram>(std::vector<double>{0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                           0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300});
  }
  return *slot;
}

std::string Metrics::render() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, family.type);
    for (const auto& [labels, one] : family.series) {
      if (one.counter)
        out += fmt::format("{}{} {}\n", name, draw_labels(labels), one.counter->value());
      if (one.gauge) out += fmt::format("{}{} {}\n", name, draw_labels(labels), one.gauge->value());
      if (!one.histogram) continue;
      const Histogram& histogram = *one.histogram;
      std::uint64_t total = 0;
      for (std::size_t i = 0; i < histogram.buckets_.size(); ++i) {
        total += histogram.buckets_[i]->load(std::memory_order_relaxed);
        const std::string bound = i < histogram.upper_bounds_s_.size()
                                      ? fmt::format("le=\"{}\"", histogram.upper_bounds_s_[i])
                                      : std::string("le=\"+Inf\"");
        out += fmt::format("{}_bucket{} {}\n", name, draw_labels(labels, bound), total);
      }
      out += fmt::format("{}_sum{} {}\n", name, draw_labels(labels),
                         static_cast<double>(histogram.sum_us_.load()) / 1e6);
      out += fmt::format("{}_count{} {}\n", name, draw_labels(labels), total);
    }
  }
  return out;
}

}  // namespace staithe
