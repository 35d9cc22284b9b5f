#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/random.h"
#include "reconcile/capacity.h"
#include "reconcile/deployment_plan.h"
#include "reconcile/testing/naive_allocator.h"
#include "store/memory/memory_store.h"

// Worlds of random machines, claims, deployments and replicas, changed ten thousand times each.
namespace staithe::reconcile {
namespace {

using testing::NaiveAllocator;
using testing::NaiveClaim;
using testing::NaiveDeployment;
using testing::NaiveNode;
using testing::NaiveReplica;

constexpr std::uint64_t world_count = 100;
constexpr std::uint64_t events_per_world = 10'000;
// Comparisons that cost more than an event are made at every so-maniest.
constexpr std::uint64_t naive_interval = 4;
constexpr std::uint64_t fresh_interval = 500;

const std::vector<std::string> all_zones{"ZONE-A", "ZONE-B", "ZONE-C"};
const std::vector<std::string> all_types{"gpu-4x", "gpu-8x"};

// The records, and who is told of each change: one control plane at once, another in batches.
class Life {
 public:
  explicit Life(std::uint64_t seed) : seed_(seed), random_(seed) {
    catalogue_.engines["wide"].spans_nodes = true;
    gateway("everywhere", {});
    gateway("in-a-and-b", {"ZONE-A", "ZONE-B"});
    const std::uint64_t node_count = 2 + random_.below(12);
    for (std::uint64_t i = 0; i < node_count; ++i) change_node();
  }

  void live() {
    for (std::uint64_t i = 1; i <= events_per_world && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE(fmt::format("seed {} event {}", seed_, i));
      act();
      check_hardware();
      check_promises();
      if (i % naive_interval == 0) check_shares();
      if (i % fresh_interval == 0) check_fresh();
    }
  }

 private:
  struct ControlPlane {
    explicit ControlPlane(const model::Catalogue& catalogue)
        : world(store, log), capacity(world, catalogue) {}
    store::MemoryStore store;
    Log log{2, LogLevel::error};
    World world;
    Capacity capacity;
  };

  // ---- changes

  template <typename T>
  static void put(ControlPlane& plane, const model::Id& id, const T* value) {
    std::optional<store::Versioned<T>> after;
    if (value != nullptr) after = store::Versioned<T>{.value = *value, .keys = {}};
    plane.world.take_over(id, std::move(after));
  }
  template <typename T>
  void put(std::map<model::Id, T>& table, const model::Id& id, const T* value) {
    if (value == nullptr) {
      table.erase(id);
    } else {
      table[id] = *value;
    }
    put(prompt_, id, value);
    late_.push_back([this, id, after = value == nullptr ? std::optional<T>() : *value] {
      put(batched_, id, after ? &*after : nullptr);
    });
  }
  template <typename T>
  void set(std::map<model::Id, T>& table, const model::Id& id, const T& value) {
    const T copy = value;
    put(table, id, &copy);
  }

  void gateway(const model::Id& id, std::vector<std::string> zones) {
    model::Gateway gateway;
    gateway.spec.id = id;
    gateway.spec.zones = std::move(zones);
    set(gateways_, id, gateway);
  }

  model::Id any(std::string_view prefix, std::uint64_t count) {
    return fmt::format("{}{:02}", prefix, random_.below(count));
  }
  Timestamp next_moment() { return Timestamp{std::chrono::seconds{++moments_}}; }
  model::Id any_organization() { return any("cw", 2); }

  void act() {
    const std::uint64_t kind = random_.below(100);
    if (kind < 6) return change_node();
    if (kind < 12) return change_claim();
    if (kind < 26) return work_on_claim(any("c", 5));
    if (kind < 38) return change_deployment();
    if (kind < 80) return work_on_deployment(any("d", 8));
    if (kind < 97) return end_replica();
    lose_node();
  }

  void change_node() {
    const model::Id id = any("n", 14);
    if (const auto known = nodes_.find(id); known != nodes_.end()) {
      model::Node node = known->second;
      node.schedulable = !node.schedulable || random_.below(3) > 0;
      return set(nodes_, id, node);
    }
    const std::string& type = all_types[random_.below(2)];
    set(nodes_, id,
        model::Node{.id = id,
                    .zone = all_zones[random_.below(3)],
                    .instance_type = type,
                    .gpu_count = type == "gpu-4x" ? 4U : 8U,
                    .owner_organization = random_.below(6) == 0 ? any_organization() : ""});
  }
  // With all that ran on it.
  void lose_node() {
    const model::Id id = any("n", 14);
    if (!nodes_.contains(id)) return;
    for (auto replica = replicas_.begin(); replica != replicas_.end();) {
      const model::Replica value = (replica++)->second;
      if (is_on(value, id)) put<model::Replica>(replicas_, value.id, nullptr);
    }
    put<model::Node>(nodes_, id, nullptr);
  }
  static bool is_on(const model::Replica& replica, const model::Id& node_id) {
    return std::any_of(replica.parts.begin(), replica.parts.end(),
                       [&](const auto& part) { return part.node_id == node_id; });
  }

  void change_claim() {
    const model::Id id = any("c", 5);
    model::CapacityClaim claim;
    if (const auto known = claims_.find(id); known != claims_.end()) {
      claim = known->second;
      if (claim.status.status == model::Status::deleting) return;
      if (random_.below(4) == 0) claim.status.status = model::Status::deleting;
    } else {
      claim.spec.id = id;
      claim.spec.organization_id = any_organization();
      claim.spec.resources.instance_id = all_types[random_.below(2)];
      claim.spec.resources.capacity_type =
          random_.below(4) == 0 ? model::CapacityType::customer : model::CapacityType::managed;
      claim.spec.resources.zones = all_zones;
      random_order(claim.spec.resources.zones);
      claim.spec.resources.zones.resize(1 + random_.below(3));
      claim.status.created_at = next_moment();
      claim.status.status = model::Status::creating;
    }
    claim.spec.resources.instance_count = static_cast<std::uint32_t>(1 + random_.below(5));
    set(claims_, id, claim);
  }
  template <typename T>
  void random_order(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random_.below(i)]);
  }

  void work_on_claim(const model::Id& id) {
    const auto known = claims_.find(id);
    if (known == claims_.end()) return;
    const ClaimPlan plan = plan_claim(prompt_.capacity.view_of(known->second));
    if (plan.is_gone) return put<model::CapacityClaim>(claims_, id, nullptr);
    model::CapacityClaim claim = known->second;
    claim.status.nodes = plan.nodes;
    claim.status.allocated_instances = plan.allocated;
    claim.status.pending_instances = plan.pending;
    if (!(claim.status == known->second.status)) set(claims_, id, claim);
  }

  void change_deployment() {
    const model::Id id = any("d", 8);
    const auto known = deployments_.find(id);
    if (known != deployments_.end() && random_.below(5) == 0) {
      if (count_replicas(id) == 0) return put<model::Deployment>(deployments_, id, nullptr);
      model::Deployment deployment = known->second;
      deployment.status.status = model::Status::deleting;
      return set(deployments_, id, deployment);
    }
    model::Deployment deployment;
    if (known != deployments_.end()) {
      deployment = known->second;
    } else {
      deployment.spec.id = id;
      deployment.spec.organization_id = any_organization();
      deployment.spec.gateway_ids = {random_.below(2) == 0 ? "everywhere" : "in-a-and-b"};
      deployment.spec.resources = {.instance_type = all_types[random_.below(2)],
                                   .gpu_count = 1U << random_.below(4)};
      if (random_.below(3) == 0) {
        deployment.spec.runtime.engine = "wide";
        deployment.spec.resources.gpu_count = 16;
      }
      const std::vector<std::vector<model::CapacityClass>> choices{
          {},
          {model::CapacityClass::reserved},
          {model::CapacityClass::on_demand},
          {model::CapacityClass::on_demand, model::CapacityClass::reserved}};
      deployment.spec.autoscaling.capacity_classes = choices[random_.below(choices.size())];
      deployment.status.created_at = next_moment();
    }
    deployment.spec.autoscaling.min = static_cast<std::uint32_t>(1 + random_.below(3));
    deployment.spec.autoscaling.max =
        deployment.spec.autoscaling.min + static_cast<std::uint32_t>(random_.below(4));
    deployment.spec.autoscaling.priority = static_cast<std::uint32_t>(100 * random_.below(4));
    deployment.spec.disabled = random_.below(8) == 0;
    if (known == deployments_.end() || random_.below(4) == 0) {
      deployment.spec.model.path = any("weights", 3);
    }
    set(deployments_, id, deployment);
    const auto wanted = static_cast<std::uint32_t>(random_.below(7));
    wanted_[id] = wanted;
    prompt_.capacity.set_wanted(id, wanted);
    late_.push_back([this, id, wanted] { batched_.capacity.set_wanted(id, wanted); });
  }

  std::size_t count_replicas(const model::Id& deployment_id) const {
    return static_cast<std::size_t>(std::count_if(
        replicas_.begin(), replicas_.end(),
        [&](const auto& each) { return each.second.deployment_id == deployment_id; }));
  }

  // Where other deployments of the organization run the same weights.
  std::set<std::string> zones_with_weights(const model::DeploymentSpec& spec) const {
    std::set<std::string> zones;
    for (const auto& [replica_id, replica] : replicas_) {
      const auto other = deployments_.find(replica.deployment_id);
      const auto node = nodes_.find(replica.parts.front().node_id);
      if (other == deployments_.end() || node == nodes_.end() || other->first == spec.id) continue;
      const model::DeploymentSpec& theirs = other->second.spec;
      if (theirs.organization_id == spec.organization_id && theirs.model.path == spec.model.path) {
        zones.insert(node->second.zone);
      }
    }
    return zones;
  }

  static bool is_competing(const model::Deployment& deployment) {
    return !deployment.spec.disabled && deployment.status.status != model::Status::deleting;
  }
  std::uint32_t wanted_of(const model::Deployment& deployment) const {
    const model::DeploymentAutoscaling& scaling = deployment.spec.autoscaling;
    const auto said = wanted_.find(deployment.spec.id);
    return said == wanted_.end() ? scaling.min : std::clamp(said->second, scaling.min, scaling.max);
  }
  std::vector<model::Replica> live(const model::Id& deployment_id) {
    std::vector<model::Replica> found;
    for (const auto& [id, replica] : replicas_) {
      if (replica.deployment_id == deployment_id && !replica.draining &&
          !prompt_.capacity.must_leave_node(replica)) {
        found.push_back(replica);
      }
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      return std::tie(b.created_at, b.id) < std::tie(a.created_at, a.id);
    });
    return found;
  }

  void drain(model::Replica replica) {
    replica.draining = true;
    set(replicas_, replica.id, replica);
  }

  // A pass: give way, come down, come up.
  void work_on_deployment(const model::Id& id) {
    const auto known = deployments_.find(id);
    const std::set<model::Id> victims = prompt_.capacity.victims_of(id);
    const bool is_wanted = known != deployments_.end() && is_competing(known->second);
    const std::uint32_t wanted = is_wanted ? wanted_of(known->second) : 0;
    const std::vector<model::Replica> alive = live(id);
    std::vector<model::Replica> mine;
    for (const auto& [replica_id, replica] : replicas_) {
      if (replica.deployment_id == id && !replica.draining) mine.push_back(replica);
    }
    for (const model::Replica& replica : mine) {
      const auto rank = std::find_if(alive.begin(), alive.end(),
                                     [&](const auto& each) { return each.id == replica.id; });
      const bool is_surplus =
          rank == alive.end() ||
          static_cast<std::size_t>(rank - alive.begin()) + wanted < alive.size();
      if (victims.contains(replica.id) || is_surplus) drain(replica);
    }
    if (alive.size() >= wanted || !victims.empty()) return;
    const auto missing = static_cast<std::uint32_t>(wanted - alive.size());
    const Offer offer = prompt_.capacity.offer(known->second, missing, {});
    ASSERT_EQ(offer.placements.size() < missing, offer.shortage.has_value());
    for (const Placement& placement : offer.placements) {
      model::Replica replica{.id = fmt::format("{}-{:06}", id, ++moments_),
                             .deployment_id = id,
                             .organization_id = known->second.spec.organization_id,
                             .parts = placement.parts,
                             .claim_id = placement.claim_id,
                             .created_at = next_moment()};
      set(replicas_, replica.id, replica);
    }
  }

  void end_replica() {
    if (replicas_.empty()) return;
    auto replica = replicas_.begin();
    std::advance(replica, static_cast<std::ptrdiff_t>(random_.below(replicas_.size())));
    if (!replica->second.draining && random_.below(20) > 0) return;
    const model::Id id = replica->first;
    put<model::Replica>(replicas_, id, nullptr);
  }

  // ---- what has to hold

  void check_hardware() {
    std::set<std::pair<model::Id, std::uint32_t>> sold;
    for (const auto& [id, replica] : replicas_) {
      for (const model::ReplicaPart& part : replica.parts) {
        for (const std::uint32_t slot : part.gpu_slots) {
          ASSERT_TRUE(sold.emplace(part.node_id, slot).second) << part.node_id << " sold twice";
        }
      }
    }
    std::set<model::Id> held;
    for (const auto& [id, claim] : claims_) {
      for (const model::Id& node : claim.status.nodes) {
        ASSERT_TRUE(held.insert(node).second) << node << " claimed twice";
      }
    }
  }

  NaiveAllocator naive() {
    NaiveAllocator naive;
    for (const auto& [id, node] : nodes_) {
      if (!node.schedulable) continue;
      NaiveNode entry{.id = id,
                      .zone = node.zone,
                      .type = node.instance_type,
                      .gpu_count = node.gpu_count,
                      .organization = {},
                      .claim_id = {},
                      .firm = {},
                      .leaving = {}};
      bool is_usable = node.owner_organization.empty();
      for (const auto& [claim_id, claim] : claims_) {
        const auto& nodes = claim.status.nodes;
        const auto place = std::find(nodes.begin(), nodes.end(), id) - nodes.begin();
        if (place == static_cast<std::ptrdiff_t>(nodes.size())) continue;
        is_usable = claim.status.status != model::Status::deleting &&
                    place < static_cast<std::ptrdiff_t>(claim.status.allocated_instances);
        entry.organization = claim.spec.organization_id;
        entry.claim_id = claim_id;
      }
      if (!is_usable) continue;
      for (const auto& [replica_id, replica] : replicas_) {
        for (const model::ReplicaPart& part : replica.parts) {
          if (part.node_id != id) continue;
          (replica.draining ? entry.leaving : entry.firm)
              .insert(part.gpu_slots.begin(), part.gpu_slots.end());
        }
      }
      naive.nodes.push_back(std::move(entry));
    }
    for (const auto& [id, deployment] : deployments_) {
      if (!is_competing(deployment)) continue;
      const model::DeploymentSpec& spec = deployment.spec;
      const std::vector<model::Replica> alive = live(id);
      const auto count = static_cast<std::uint32_t>(alive.size());
      NaiveDeployment entry{.priority = spec.autoscaling.priority,
                            .created_at = deployment.status.created_at,
                            .id = id,
                            .request = prompt_.capacity.placement_of(spec),
                            .missing_of_min = 0,
                            .missing_above_min = 0,
                            .spares = {}};
      EXPECT_EQ(entry.request.preferred_zones, zones_with_weights(spec)) << id;
      if (count < spec.autoscaling.min) entry.missing_of_min = spec.autoscaling.min - count;
      const std::uint32_t floor = std::max(count, spec.autoscaling.min);
      if (wanted_of(deployment) > floor) entry.missing_above_min = wanted_of(deployment) - floor;
      for (std::uint32_t i = 0; i + spec.autoscaling.min < count; ++i) {
        entry.spares.push_back({alive[i].id, alive[i].parts});
      }
      naive.deployments.push_back(std::move(entry));
    }
    return naive;
  }

  static bool is_subset(const Allotment& part, const Allotment& whole) {
    return std::all_of(part.placements.begin(), part.placements.end(), [&](const auto& each) {
      return std::count(whole.placements.begin(), whole.placements.end(), each) > 0;
    });
  }

  // What is promised is free, promised once, allowed, and all that there is room for.
  void check_promises() {
    const Allotments& promised = prompt_.capacity.allotments();
    NaiveAllocator left = naive();
    std::map<model::Id, NaiveNode*> nodes;
    for (NaiveNode& node : left.nodes) nodes[node.id] = &node;
    for (const auto& [id, cause] : promised.victims) {
      ASSERT_TRUE(replicas_.contains(id));
      const model::Replica& victim = replicas_.at(id);
      const auto& loser = deployments_.at(victim.deployment_id).spec.autoscaling;
      ASSERT_LT(loser.priority, deployments_.at(cause).spec.autoscaling.priority);
      for (const model::ReplicaPart& part : victim.parts) {
        if (!nodes.contains(part.node_id)) continue;
        for (const std::uint32_t slot : part.gpu_slots) {
          nodes[part.node_id]->firm.erase(slot);
          nodes[part.node_id]->leaving.insert(slot);
        }
      }
    }
    std::map<model::Id, std::uint32_t> got;
    for (const auto& [id, allotment] : promised.by_deployment) {
      ASSERT_TRUE(deployments_.contains(id) && is_competing(deployments_.at(id)));
      got[id] = static_cast<std::uint32_t>(allotment.placements.size() + allotment.coming.size());
      for (const auto* list : {&allotment.placements, &allotment.coming}) {
        for (const Placement& placement : *list) {
          for (const model::ReplicaPart& part : placement.parts) {
            ASSERT_TRUE(nodes.contains(part.node_id)) << part.node_id << " may not be used";
            NaiveNode& node = *nodes[part.node_id];
            for (const std::uint32_t slot : part.gpu_slots) {
              ASSERT_LT(slot, node.gpu_count);
              const bool is_now = list == &allotment.placements;
              ASSERT_FALSE(is_now && node.leaving.contains(slot)) << "not free yet";
              ASSERT_TRUE(node.firm.insert(slot).second) << "promised twice";
            }
          }
        }
      }
    }
    std::map<model::Id, std::size_t> lost;
    for (const auto& [id, cause] : promised.victims) lost[replicas_.at(id).deployment_id] += 1;
    for (const NaiveDeployment& each : left.deployments) {
      ASSERT_LE(lost[each.id], each.spares.size()) << each.id << " is pushed below its minimum";
      const std::uint32_t missing = each.missing_of_min + each.missing_above_min;
      ASSERT_LE(got[each.id], missing);
      if (got[each.id] == missing) continue;
      ASSERT_FALSE(left.find(each.request, false).has_value()) << each.id << " has room";
      ASSERT_FALSE(left.find(each.request, true).has_value()) << each.id << " will have room";
    }
  }

  std::map<model::Id, std::vector<model::Id>> naive_shares() {
    std::vector<NaiveClaim> waiting;
    std::set<model::Id> held;
    for (const auto& [id, claim] : claims_) {
      held.insert(claim.status.nodes.begin(), claim.status.nodes.end());
      const model::ClaimResources& wanted = claim.spec.resources;
      const bool is_customer = wanted.capacity_type == model::CapacityType::customer;
      NaiveClaim entry{.created_at = claim.status.created_at,
                       .id = id,
                       .owner = is_customer ? claim.spec.organization_id : "",
                       .type = wanted.instance_id,
                       .zones = wanted.zones,
                       .missing = wanted.instance_count};
      if (claim.status.status == model::Status::deleting) continue;
      for (const model::Id& node_id : claim.status.nodes) {
        const auto node = nodes_.find(node_id);
        if (node == nodes_.end() || !node->second.schedulable || entry.missing == 0) continue;
        const auto& zones = entry.zones;
        if (node->second.owner_organization == entry.owner &&
            node->second.instance_type == entry.type &&
            std::find(zones.begin(), zones.end(), node->second.zone) != zones.end()) {
          entry.missing -= 1;
        }
      }
      waiting.push_back(std::move(entry));
    }
    std::vector<model::Node> free;
    for (const auto& [id, node] : nodes_) {
      const bool is_used = std::any_of(replicas_.begin(), replicas_.end(),
                                       [&](const auto& each) { return is_on(each.second, id); });
      if (node.schedulable && !held.contains(id) && !is_used) free.push_back(node);
    }
    return testing::naive_shares(std::move(waiting), std::move(free));
  }

  void check_shares() {
    const auto shares = naive_shares();
    for (const auto& [id, claim] : claims_) {
      const ClaimView view = prompt_.capacity.view_of(claim);
      std::vector<model::Id> offered;
      for (const model::Node& node : view.offered) offered.push_back(node.id);
      const auto found = shares.find(id);
      ASSERT_EQ(offered, found == shares.end() ? std::vector<model::Id>{} : found->second) << id;
    }
  }

  // Whoever is told late and all at once, and whoever has only just come, share out as the rules
  // say; and so does the one who was told of everything once it has to think again.
  void check_fresh() {
    const Allotments expected = naive().allot();
    ControlPlane fresh(catalogue_);
    tell_all(fresh);
    ASSERT_EQ(fresh.capacity.allotments(), expected);
    ASSERT_EQ(fresh.capacity.allotments(), expected) << "asked again";

    for (const auto& tell : late_) tell();
    late_.clear();
    // Nobody has asked the batched one about these changes; its promises are as old as its last
    // look. A machine that comes and goes makes both think again.
    for (ControlPlane* plane : {&prompt_, &batched_}) {
      const model::Node passing{
          .id = "passing", .zone = "ZONE-A", .instance_type = "other", .gpu_count = 1};
      put(*plane, passing.id, &passing);
      put<model::Node>(*plane, passing.id, nullptr);
    }
    ASSERT_EQ(batched_.capacity.allotments(), expected);
    ASSERT_EQ(prompt_.capacity.allotments(), expected);
    const auto shares = naive_shares();
    for (const auto& [id, claim] : claims_) {
      for (ControlPlane* plane : {&fresh, &batched_}) {
        std::vector<model::Id> offered;
        for (const model::Node& node : plane->capacity.view_of(claim).offered) {
          offered.push_back(node.id);
        }
        const auto found = shares.find(id);
        ASSERT_EQ(offered, found == shares.end() ? std::vector<model::Id>{} : found->second);
      }
    }
  }

  // In any order.
  void tell_all(ControlPlane& plane) {
    std::vector<std::function<void()>> tellings;
    const auto add = [&](const auto& table) {
      for (const auto& [id, value] : table) {
        tellings.emplace_back([&plane, &id = id, &value = value] { put(plane, id, &value); });
      }
    };
    add(gateways_);
    add(nodes_);
    add(claims_);
    add(deployments_);
    add(replicas_);
    random_order(tellings);
    for (const auto& tell : tellings) tell();
    for (const auto& [id, wanted] : wanted_) plane.capacity.set_wanted(id, wanted);
  }

  const std::uint64_t seed_;
  SeededRandom random_;
  model::Catalogue catalogue_;
  ControlPlane prompt_{catalogue_};
  ControlPlane batched_{catalogue_};
  std::vector<std::function<void()>> late_;
  std::int64_t moments_ = 0;

  std::map<model::Id, model::Gateway> gateways_;
  std::map<model::Id, model::Node> nodes_;
  std::map<model::Id, model::CapacityClaim> claims_;
  std::map<model::Id, model::Deployment> deployments_;
  std::map<model::Id, model::Replica> replicas_;
  std::map<model::Id, std::uint32_t> wanted_;
};

TEST(CapacityProperties, K04_X11_hold_for_100_worlds_through_10_000_events_each) {
  for (std::uint64_t seed = 1; seed <= world_count; ++seed) {
    Life(seed).live();
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  std::printf("%llu worlds, %llu events checked\n", static_cast<unsigned long long>(world_count),
              static_cast<unsigned long long>(world_count * events_per_world));
}

}  // namespace
}  // namespace staithe::reconcile
