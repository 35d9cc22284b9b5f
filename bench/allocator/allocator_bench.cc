#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "reconcile/allot.h"
#include "reconcile/claim_queue.h"
#include "reconcile/fleet.h"

// How fast capacity is given out: 1,200 nodes in 16 zones, a stream of departures and arrivals, one
// thread. Every arrival is timed alone, from the question to the moment its part is taken.
namespace {

using namespace staithe;
using namespace staithe::reconcile;

constexpr std::uint64_t node_count = 1'200;
constexpr std::uint64_t zone_count = 16;
constexpr std::uint64_t organization_count = 100;
constexpr std::uint64_t decision_count = 400'000;

std::string zone_name(std::uint64_t number) {
  return fmt::format("US-EAST-{:02}A", number);
}
std::string organization_name(std::uint64_t number) {
  return fmt::format("cw{:04}", number);
}

class Stopwatch {
 public:
  explicit Stopwatch(std::string name) : name_(std::move(name)) {}

  void time(const std::function<void()>& decide) {
    const Instant start = clock_.instant();
    decide();
    times_.push_back(std::chrono::duration<double, std::micro>(clock_.instant() - start).count());
  }
  // The rate is of processor time, all of the stream's: departures and the making of requests as
  // well. The times of single decisions are by the wall, with whatever else the machine does.
  void report(std::string_view live) {
    const double cpu_seconds =
        static_cast<double>(std::clock() - start_) / static_cast<double>(CLOCKS_PER_SEC);
    std::sort(times_.begin(), times_.end());
    const auto at = [this](double part) {
      return times_[static_cast<std::size_t>(part * static_cast<double>(times_.size() - 1))];
    };
    const auto count = static_cast<double>(times_.size());
    std::printf("%s\n", name_.c_str());
    std::printf("  live: %.*s\n", static_cast<int>(live.size()), live.data());
    std::printf("  %.0f decisions, %.0f per second of processor time\n", count,
                count / cpu_seconds);
    std::printf("  p50 %.2f us, p99 %.2f us, p99.9 %.2f us, max %.1f us\n", at(0.5), at(0.99),
                at(0.999), at(1));
  }
  void start() {
    times_.clear();
    start_ = std::clock();
  }

 private:
  SystemClock clock_;
  std::string name_;
  std::vector<double> times_;
  std::clock_t start_ = 0;
};

// A third of the nodes is held by claims of 100 organizations, the rest is on demand.
void add_nodes(Fleet& fleet, std::uint32_t gpu_count) {
  for (std::uint64_t i = 0; i < node_count; ++i) {
    FleetNode node{.id = fmt::format("node-{:04}", i),
                   .zone = zone_name(i % zone_count),
                   .instance_type = "gd-8xh100ib-i128",
                   .gpu_count = gpu_count,
                   .organization = {},
                   .claim_id = {}};
    if (i % 3 == 0) {
      node.organization = organization_name(i / 3 % organization_count);
      node.claim_id = fmt::format("claim-{}", i / 3 % organization_count);
    }
    fleet.set(node);
  }
}

PlacementRequest any_request(Random& random) {
  PlacementRequest request;
  request.organization = organization_name(random.below(organization_count));
  request.instance_type = "gd-8xh100ib-i128";
  request.gpu_count = 1U << random.below(4);
  request.classes = {model::CapacityClass::reserved, model::CapacityClass::on_demand};
  if (random.below(2) == 0) {
    request.zones.emplace();
    for (int i = 0; i < 4; ++i) request.zones->insert(zone_name(random.below(zone_count)));
  }
  request.replicas_in[zone_name(random.below(zone_count))] = 1;
  return request;
}

// Replicas come and go. `is_full` says when enough are live.
void place_replicas(std::string name, std::uint32_t gpu_count,
                    const std::function<bool(std::size_t replicas, std::size_t gpus)>& is_full) {
  SeededRandom random(1);
  Fleet fleet;
  add_nodes(fleet, gpu_count);
  std::vector<std::vector<model::ReplicaPart>> live;
  std::size_t gpus = 0;
  std::size_t refused = 0;
  const auto take = [&](const PlacementRequest& request) {
    auto placement = fleet.find(request);
    if (!placement) return false;
    fleet.take(placement->parts, Hold::firm);
    live.push_back(std::move(placement->parts));
    return true;
  };
  const auto remove_any = [&] {
    std::swap(live[random.below(live.size())], live.back());
    gpus -= model::count_gpus(live.back());
    fleet.give_back(live.back(), Hold::firm);
    live.pop_back();
  };
  while (!is_full(live.size(), gpus)) {
    const PlacementRequest request = any_request(random);
    if (take(request)) gpus += request.gpu_count;
  }
  Stopwatch stopwatch(std::move(name));
  stopwatch.start();
  for (std::uint64_t i = 0; i < decision_count; ++i) {
    while (is_full(live.size(), gpus)) remove_any();
    const PlacementRequest request = any_request(random);
    bool is_placed = false;
    stopwatch.time([&] { is_placed = take(request); });
    if (is_placed) {
      gpus += request.gpu_count;
    } else {
      refused += 1;
    }
  }
  stopwatch.report(
      fmt::format("{} replicas of 1, 2, 4 or 8 GPUs on {} of {} GPUs; {} found no room",
                  live.size(), gpus, node_count * gpu_count, refused));
}

// 8,000 deployments wait, each for one replica: whenever one ends, the next in turn is found.
void serve_waiting_deployments() {
  SeededRandom random(2);
  Fleet fleet;
  add_nodes(fleet, 8);
  Contention contention;
  std::uint64_t next = 0;
  const auto arrive = [&] {
    Contender contender;
    contender.turn = {static_cast<std::uint32_t>(random.below(10) * 100),
                      Timestamp{std::chrono::microseconds{++next}},
                      fmt::format("deployment-{:07}", next)};
    contender.request = any_request(random);
    contender.missing_of_min = 1;
    contention.set(std::move(contender));
  };
  std::vector<std::vector<model::ReplicaPart>> live;
  Overlay overlay(fleet);
  const auto sweep = [&] {
    const Allotments allotments = allot(overlay, contention);
    for (const auto& [id, allotment] : allotments.by_deployment) {
      for (const Placement& placement : allotment.placements) {
        fleet.take(placement.parts, Hold::firm);
        live.push_back(placement.parts);
      }
      contention.remove(id);
    }
    overlay.undo();
    return allotments.by_deployment.size();
  };
  std::size_t waiting = 0;
  while (waiting < 8'000) {
    for (int i = 0; i < 1'000; ++i) arrive();
    waiting += 1'000;
    waiting -= sweep();
  }
  Stopwatch stopwatch("the next of 8,000 waiting deployments, in one sweep over all of them");
  stopwatch.start();
  constexpr std::uint64_t sweep_count = 200;
  for (std::uint64_t i = 0; i < sweep_count; ++i) {
    std::swap(live[random.below(live.size())], live.back());
    fleet.give_back(live.back(), Hold::firm);
    live.pop_back();
    std::size_t served = 0;
    stopwatch.time([&] { served = sweep(); });
    for (std::size_t j = 0; j < served; ++j) arrive();
  }
  stopwatch.report(fmt::format("{} replicas; {} deployments wait, hardly two with the same needs",
                               live.size(), waiting));
}

// 8,000 claims of 1 to 4 nodes in 1 to 3 zones of two types; 1,200 nodes: most of them wait.
void serve_waiting_claims() {
  SeededRandom random(3);
  ClaimQueue queue;
  std::vector<model::Node> nodes;
  for (std::uint64_t i = 0; i < node_count; ++i) {
    nodes.push_back({.id = fmt::format("node-{:04}", i),
                     .zone = zone_name(i % zone_count),
                     .instance_type = i % 2 == 0 ? "gd-8xh100ib-i128" : "gb200-4x",
                     .gpu_count = 8,
                     .owner_organization = {}});
    queue.set_free(nodes.back());
  }
  struct Claim {
    WaitingClaim need;
    std::vector<model::Id> held;
  };
  std::map<model::Id, Claim> claims;
  std::vector<model::Id> ids;
  std::map<model::Id, model::Node> node_of;
  for (const model::Node& node : nodes) node_of[node.id] = node;
  std::uint64_t next = 0;
  const auto new_claim = [&] {
    WaitingClaim need{
        .age = {Timestamp{std::chrono::microseconds{++next}}, fmt::format("claim-{:07}", next)},
        .owner = {},
        .instance_type = random.below(2) == 0 ? "gd-8xh100ib-i128" : "gb200-4x",
        .zones = {},
        .missing = static_cast<std::uint32_t>(1 + random.below(4))};
    const std::uint64_t zone = random.below(zone_count);
    const std::uint64_t zones = 1 + random.below(3);
    for (std::uint64_t i = 0; i < zones; ++i) {
      need.zones.push_back(zone_name((zone + i) % zone_count));
    }
    return need;
  };
  // What the claim's pass does: it takes its share.
  const auto settle = [&](const model::Id& id) {
    const auto found = claims.find(id);
    if (found == claims.end()) return;
    Claim& claim = found->second;
    const std::vector<model::Id> share = queue.share_of(id);
    for (const model::Id& node : share) {
      queue.set_taken(node, id);
      claim.held.push_back(node);
    }
    claim.need.missing -= static_cast<std::uint32_t>(share.size());
    queue.set_waiting(claim.need);
  };
  const auto arrive = [&](const WaitingClaim& need) {
    claims[need.age.id] = {need, {}};
    ids.push_back(need.age.id);
    queue.set_waiting(need);
    settle(need.age.id);
  };
  const auto depart = [&](const model::Id& id) {
    queue.remove_waiting(id);
    const auto gone = claims.extract(id);
    for (const model::Id& node : gone.mapped().held) queue.set_free(node_of.at(node));
    for (const model::Id& next_id : queue.take_touched()) settle(next_id);
  };
  for (int i = 0; i < 8'000; ++i) arrive(new_claim());

  Stopwatch stopwatch("8,000 claims, most of which wait: one ends, its nodes go on, one comes");
  stopwatch.start();
  constexpr std::uint64_t turn_count = 100'000;
  for (std::uint64_t i = 0; i < turn_count; ++i) {
    std::swap(ids[random.below(ids.size())], ids.back());
    const model::Id gone = ids.back();
    ids.pop_back();
    stopwatch.time([&] { depart(gone); });
    const WaitingClaim need = new_claim();
    stopwatch.time([&] { arrive(need); });
  }
  const auto waiting = std::count_if(claims.begin(), claims.end(), [](const auto& claim) {
    return claim.second.need.missing > 0;
  });
  stopwatch.report(fmt::format("{} claims, of which {} wait", claims.size(), waiting));
}

}  // namespace

int main() {
  place_replicas("replicas come and go on 1,200 nodes of 8 GPUs, 8,000 GPUs in use", 8,
                 [](std::size_t, std::size_t gpus) { return gpus >= 8'000; });
  place_replicas("replicas come and go on 1,200 nodes of 32 GPUs, 8,000 replicas live", 32,
                 [](std::size_t replicas, std::size_t) { return replicas >= 8'000; });
  serve_waiting_claims();
  serve_waiting_deployments();
}
