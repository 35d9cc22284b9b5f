#include "gateway/choose.h"

#include <algorithm>
#include <cstdint>

namespace staithe::gateway {
namespace {

bool is_ready(const ServedDeployment& deployment, const ReplicaLoad* excluded) {
  return std::any_of(deployment.replicas.begin(), deployment.replicas.end(),
                     [excluded](const ServedReplica& one) { return one.load.get() != excluded; });
}

// 2^64 divided by the golden ratio: multiples of it, taken modulo 2^64, fill the range evenly.
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;

std::uint64_t spread(std::uint64_t turn, std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(turn * golden) * bound) >> 64);
}

}  // namespace

const ServedDeployment* choose_deployment(const ServedModel& model, const ReplicaLoad* excluded) {
  const ServedDeployment* only = nullptr;
  std::uint64_t ready_count = 0;
  std::uint64_t weight_sum = 0;
  for (const ServedDeployment& deployment : model.deployments) {
    if (!is_ready(deployment, excluded)) continue;
    only = &deployment;
    ++ready_count;
    weight_sum += deployment.weight;
  }
  if (ready_count <= 1) return only;

  const bool is_equal = weight_sum == 0;
  std::uint64_t point = spread(model.turn->fetch_add(1, std::memory_order_relaxed),
                               is_equal ? ready_count : weight_sum);
  for (const ServedDeployment& deployment : model.deployments) {
    if (!is_ready(deployment, excluded)) continue;
    const std::uint64_t share = is_equal ? 1 : deployment.weight;
    if (point < share) return &deployment;
    point -= share;
  }
  return only;
}

const ServedDeployment& choose_unready_deployment(const ServedModel& model) {
  return *std::max_element(
      model.deployments.begin(), model.deployments.end(),
      [](const auto& one, const auto& other) { return one.weight < other.weight; });
}

const ServedReplica* choose_replica(const ServedDeployment& deployment, Instant now, Random& random,
                                    const ReplicaLoad* excluded) {
  const ServedReplica* best = nullptr;
  bool is_best_avoided = true;
  std::uint32_t best_count = 0;
  std::uint64_t tie_count = 0;
  for (const ServedReplica& replica : deployment.replicas) {
    if (replica.load.get() == excluded) continue;
    const bool is_avoided = replica.load->is_avoided(now);
    const std::uint32_t count = replica.load->in_flight();
    const bool is_better = best == nullptr || (is_best_avoided && !is_avoided) ||
                           (is_best_avoided == is_avoided && count < best_count);
    const bool is_tie = best != nullptr && is_best_avoided == is_avoided && count == best_count;
    if (is_better) {
      tie_count = 1;
    } else if (!is_tie || random.below(++tie_count) != 0) {
      continue;  // each of n ties ends up chosen with chance 1/n
    }
    best = &replica;
    is_best_avoided = is_avoided;
    best_count = count;
  }
  return best;
}

}  // namespace staithe::gateway
