#include "gateway/outlier.h"

#include <algorithm>

namespace staithe::gateway {
namespace {

bool may_eject_one_more(const ServedDeployment& deployment, std::uint32_t percent_max,
                        Instant now) {
  const auto ejected = static_cast<std::size_t>(
      std::count_if(deployment.replicas.begin(), deployment.replicas.end(),
                    [now](const ServedReplica& one) { return one.load->is_ejected(now); }));
  const std::size_t ejected_max =
      std::max<std::size_t>(1, deployment.replicas.size() * percent_max / 100);
  return ejected < ejected_max && ejected + 1 < deployment.replicas.size();
}

}  // namespace

bool is_replica_fault(std::uint16_t status) {
  return status == 502 || status == 503 || status == 504;
}

std::optional<Duration> count_failure(const ServedDeployment& deployment, ReplicaLoad& load,
                                      const OutlierOptions& options, Instant now) {
  const std::uint32_t failures = load.note_failure();
  if (options.failures_max == 0 || failures < options.failures_max) return std::nullopt;
  if (!may_eject_one_more(deployment, options.percent_max, now)) return std::nullopt;
  return load.eject({.first = options.ejected_for, .longest = options.ejected_for_max}, now);
}

}  // namespace staithe::gateway
