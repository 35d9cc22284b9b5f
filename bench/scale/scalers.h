#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fleet.h"
#include "reconcile/autoscale.h"

namespace staithe::bench {

// Always the same number.
class FixedScaler final : public Scaler {
 public:
  explicit FixedScaler(std::uint32_t count) : count_(count) {}
  std::uint32_t wanted(const Observation&) override { return count_; }

 private:
  std::uint32_t count_;
};

// Knows the whole trace: at every moment as many as the requests in flight will need, if none
// waits, from now until one ordered now would be ready. What can be reached, not what can be done.
class HindsightScaler final : public Scaler {
 public:
  HindsightScaler(const Trace& trace, const ServiceModel& model);
  std::uint32_t wanted(const Observation& seen) override;

 private:
  const ServiceModel model_;
  std::vector<std::uint32_t> in_flight_;  // most within each second, if none waits
  std::optional<Instant> begin_;
};

// Ours: the function that the control plane calls.
class StaitheScaler final : public Scaler {
 public:
  StaitheScaler(const reconcile::ScaleOptions& options, const ServiceModel& model,
                const Limits& limits)
      : options_(options), concurrency_(model.concurrency), limits_(limits) {}
  std::uint32_t wanted(const Observation& seen) override;

 private:
  const reconcile::ScaleOptions options_;
  const std::uint32_t concurrency_;
  const Limits limits_;
  reconcile::ScaleState state_;
};

// Kubernetes' HorizontalPodAutoscaler on an external metric with a target average value: requests
// in flight and waiting, read at the moment of the sync without any delay. Defaults of
// kube-controller-manager and of autoscaling/v2's behavior: sync every 15 s, tolerance 0.1, scale
// up by doubling or 4 pods in 15 s, whichever is more, scale down to the highest recommendation of
// the last 300 s. https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
class HpaScaler : public Scaler {
 public:
  explicit HpaScaler(double target) : target_(target) {}
  std::uint32_t wanted(const Observation& seen) override;

 protected:
  virtual double metric(const Observation& seen);

 private:
  const double target_;
  std::deque<std::pair<Instant, std::uint32_t>> recommended_;
  std::optional<Instant> synced_at_;
};

// KEDA with a queue trigger: the HPA above, whose metric KEDA reads from the queue every
// pollingInterval (30 s by default) and keeps in between (useCachedMetrics). With at least one
// replica its cooldownPeriod has no say: that is for the way to zero.
// https://keda.sh/docs/latest/reference/scaledobject-spec/
class KedaScaler final : public HpaScaler {
 public:
  using HpaScaler::HpaScaler;

 protected:
  double metric(const Observation& seen) override;

 private:
  std::optional<Instant> polled_at_;
  double polled_ = 0;
};

// Knative's pod autoscaler on concurrency, as config-autoscaler has it: evaluated every 2 s, target
// 70 % of the container concurrency, stable window 60 s, panic window 10 % of that, panic threshold
// 200 %, scale-up rate 1000, scale-down rate 2, no scale-down delay.
// https://knative.dev/docs/serving/autoscaling/kpa-specific/
// https://knative.dev/docs/serving/autoscaling/concurrency/
class KpaScaler final : public Scaler {
 public:
  explicit KpaScaler(double target) : target_(target) {}
  std::uint32_t wanted(const Observation& seen) override;

 private:
  double average(Duration window) const;

  const double target_;
  std::deque<reconcile::DemandReading> readings_;
  std::optional<Instant> evaluated_at_;
  std::optional<Instant> panicked_at_;
  std::uint32_t panic_count_ = 0;  // the most wanted in this panic
};

}  // namespace staithe::bench
