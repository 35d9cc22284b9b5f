#include "reconcile/deployment_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "reconcile/deployment_report.h"
#include "reconcile/fleet.h"

namespace staithe::reconcile {
namespace {

using runtime::ReplicaPhase;
using Ids = std::vector<model::Id>;

constexpr std::uint64_t new_hash = 0x2222222200000000;
constexpr std::uint64_t old_hash = 0x1111111100000000;

// A machine and which of its slots are free.
struct Machine {
  model::Id id;
  std::uint32_t gpu_count = 4;
  std::vector<std::uint32_t> free_slots;
};

Machine node_with(model::Id id, std::vector<std::uint32_t> free) {
  return {.id = std::move(id), .free_slots = std::move(free)};
}

// A view whose offer is made of what is free on some machines, once others were served.
struct Scene : DeploymentView {
  PlacementRequest request;
  std::vector<Machine> slots;
  std::uint32_t served_before = 0;
};

DeploymentPlan plan_deployment(const Scene& scene) {
  Fleet fleet;
  for (const Machine& machine : scene.slots) {
    fleet.set({.id = machine.id,
               .zone = "ZONE-A",
               .instance_type = "gpu-4x",
               .gpu_count = machine.gpu_count,
               .organization = {},
               .claim_id = {}});
    for (std::uint32_t slot = 0; slot < machine.gpu_count; ++slot) {
      const auto& free = machine.free_slots;
      if (std::find(free.begin(), free.end(), slot) != free.end()) continue;
      fleet.take({{machine.id, {slot}}}, Hold::firm);
    }
  }
  Overlay trial(fleet);
  for (std::uint32_t i = 0; i < scene.served_before; ++i) (void)trial.place(scene.request);
  DeploymentView view = scene;
  const std::uint32_t missing = count_missing(view);
  while (view.offer.placements.size() < missing) {
    auto placement = trial.place(scene.request);
    if (!placement) break;
    view.offer.placements.push_back(std::move(*placement));
  }
  if (view.offer.placements.size() < missing) {
    view.offer.shortage = fleet.explain(scene.request);
    for (const SeenReplica& each : view.replicas) {
      if (!each.record.draining && !each.must_leave && each.record.spec_hash != view.spec_hash) {
        trial.begin_leaving(each.record.parts);
      }
    }
    view.offer.without_old = fleet.find(scene.request, Horizon::soon);
  }
  return reconcile::plan_deployment(view);
}

SeenReplica replica(model::Id id, std::uint64_t hash, std::optional<ReplicaPhase> phase,
                    std::uint32_t slot = 0) {
  SeenReplica seen;
  seen.record.id = std::move(id);
  seen.record.parts = {{"n1", {slot}}};
  seen.record.spec_hash = hash;
  seen.zone = "ZONE-A";
  if (phase) {
    seen.state.emplace();
    seen.state->phase = *phase;
  }
  return seen;
}

Scene view_of(std::uint32_t min, std::vector<SeenReplica> replicas = {},
              std::vector<Machine> slots = {}) {
  Scene view;
  view.deployment.spec.id = "d";
  view.deployment.spec.resources.gpu_count = 1;
  view.deployment.spec.autoscaling.min = min;
  view.deployment.spec.autoscaling.max = min;
  view.deployment.status.status = model::Status::updating;
  view.spec_hash = new_hash;
  view.replicas = std::move(replicas);
  view.request.instance_type = "gpu-4x";
  view.request.gpu_count = 1;
  view.request.classes = {model::CapacityClass::reserved, model::CapacityClass::on_demand};
  view.slots = std::move(slots);
  return view;
}

TEST(PlanDeployment, brings_up_as_many_as_are_wanted_and_takes_back_the_newest) {
  Scene view =
      view_of(1, {replica("a", new_hash, ReplicaPhase::ready, 0)}, {node_with("n1", {1, 2, 3})});
  view.wanted = 3;
  EXPECT_EQ(plan_deployment(view).create.size(), 2U);
  view.replicas.push_back(replica("b", new_hash, ReplicaPhase::ready, 1));
  view.replicas.push_back(replica("c", new_hash, ReplicaPhase::ready, 2));
  for (std::size_t i = 0; i < 3; ++i) {
    view.replicas[i].record.created_at = Timestamp{std::chrono::seconds{10 - i}};
  }
  view.wanted = 2;
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"a"})) << "the newest";
  view.wanted = 0;
  EXPECT_EQ(plan_deployment(view).drain.size(), 2U) << "never below the minimum";
}

TEST(PlanDeployment, gives_up_what_is_evicted_but_never_its_own_minimum) {
  Scene view = view_of(1,
                       {replica("a", new_hash, ReplicaPhase::ready, 0),
                        replica("b", new_hash, ReplicaPhase::ready, 1)},
                       {node_with("n1", {2, 3})});
  view.wanted = 2;
  view.evicted = {"b"};
  const DeploymentPlan plan = plan_deployment(view);
  EXPECT_EQ(plan.drain, (Ids{"b"}));
  EXPECT_TRUE(plan.create.empty()) << "the room is for somebody else";
  view.evicted = {"a", "b"};
  EXPECT_EQ(plan_deployment(view).drain.size(), 1U);
}

TEST(PlanDeployment, P18_a_roll_out_has_at_most_as_many_of_each_spec_as_are_wanted) {
  Scene view = view_of(1,
                       {replica("a", old_hash, ReplicaPhase::ready, 0),
                        replica("b", old_hash, ReplicaPhase::ready, 1)},
                       {node_with("n1", {2, 3}), node_with("n2", {0, 1, 2, 3})});
  view.deployment.spec.autoscaling.max = 2;
  view.wanted = 2;
  const DeploymentPlan plan = plan_deployment(view);
  EXPECT_EQ(plan.create.size(), 2U);
  EXPECT_TRUE(plan.drain.empty());
}

TEST(PlanDeployment, P19_says_whether_a_roll_out_surges_or_goes_one_by_one) {
  Scene view = view_of(1, {replica("a", old_hash, ReplicaPhase::ready, 0)}, {});
  DeploymentPlan plan = plan_deployment(view);
  EXPECT_EQ(plan.drain, Ids{}) << "giving it up makes no room";
  EXPECT_NE(report_deployment(view, plan).detail.find("one by one"), std::string::npos);
  view.slots = {node_with("n1", {})};
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"a"}));

  view.slots = {node_with("n1", {1})};
  plan = plan_deployment(view);
  EXPECT_EQ(plan.create.size(), 1U);
  EXPECT_TRUE(plan.drain.empty());
  view.replicas.push_back(replica("b", new_hash, ReplicaPhase::starting, 1));
  EXPECT_NE(report_deployment(view, plan).detail.find("new ones first"), std::string::npos);
}

TEST(PlanDeployment, creates_min_replicas_under_ids_that_a_second_pass_finds_again) {
  const Scene view = view_of(2, {}, {node_with("n1", {0, 1, 2, 3})});
  const DeploymentPlan plan = plan_deployment(view);
  ASSERT_EQ(plan.create.size(), 2U);
  EXPECT_EQ(plan.create[0].id, "d-0-22222222");
  EXPECT_EQ(plan.create[1].id, "d-1-22222222");
  EXPECT_EQ(plan.create[1].parts[0].gpu_slots, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(plan.start, (Ids{"d-0-22222222", "d-1-22222222"}));
  EXPECT_EQ(plan.unplaced, 0U);
}

TEST(PlanDeployment, P10_places_what_it_can_and_says_what_is_missing) {
  const DeploymentPlan plan = plan_deployment(view_of(3, {}, {node_with("n1", {2})}));
  EXPECT_EQ(plan.create.size(), 1U);
  EXPECT_EQ(plan.unplaced, 2U);
  ASSERT_TRUE(plan.shortage.has_value());
  EXPECT_EQ(plan.shortage->reason, "InsufficientCapacity");
}

TEST(PlanDeployment, leaves_capacity_to_those_who_are_served_first) {
  Scene view = view_of(2, {}, {node_with("n1", {0, 1, 2})});
  view.served_before = 2;
  const DeploymentPlan plan = plan_deployment(view);
  EXPECT_EQ(plan.create.size(), 1U);
  EXPECT_EQ(plan.unplaced, 1U);
}

TEST(PlanDeployment, starts_what_ended_and_lets_what_runs_be) {
  const DeploymentPlan plan = plan_deployment(view_of(
      4, {replica("a", new_hash, ReplicaPhase::ready), replica("b", new_hash, ReplicaPhase::exited),
          replica("c", new_hash, std::nullopt), replica("d", new_hash, ReplicaPhase::starting)}));
  EXPECT_EQ(plan.start, (Ids{"b", "c"}));
  EXPECT_TRUE(plan.create.empty());
  EXPECT_TRUE(plan.drain.empty());
}

TEST(PlanDeployment, tries_the_hopeless_again_only_in_error) {
  Scene view = view_of(1, {replica("a", new_hash, ReplicaPhase::failed)});
  view.replicas[0].state->is_terminal = true;
  EXPECT_TRUE(plan_deployment(view).start.empty());
  view.deployment.status.status = model::Status::error;
  EXPECT_EQ(plan_deployment(view).start, (Ids{"a"}));
}

TEST(PlanDeployment, what_wants_no_replicas_cannot_fail_by_those_it_had) {
  Scene view = view_of(1, {replica("a", new_hash, ReplicaPhase::failed)});
  view.replicas[0].state->is_terminal = true;
  EXPECT_EQ(report_deployment(view, plan_deployment(view)).facts.problem, Problem::terminal);
  view.deployment.spec.disabled = true;
  EXPECT_EQ(report_deployment(view, plan_deployment(view)).facts.problem, Problem::none);
}

TEST(PlanDeployment, P03_keeps_the_old_replica_until_the_new_one_is_ready) {
  Scene view = view_of(1, {replica("old", old_hash, ReplicaPhase::ready)}, {node_with("n1", {1})});
  DeploymentPlan plan = plan_deployment(view);
  EXPECT_EQ(plan.create.size(), 1U);
  EXPECT_TRUE(plan.drain.empty());

  view.replicas.push_back(replica("d-0-22222222", new_hash, ReplicaPhase::starting, 1));
  EXPECT_TRUE(plan_deployment(view).drain.empty());
  view.replicas.back().state->phase = ReplicaPhase::ready;
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"old"}));
}

TEST(PlanDeployment, replaces_one_by_one_where_there_is_no_room_for_both) {
  Scene view = view_of(2,
                       {replica("old-0", old_hash, ReplicaPhase::ready, 0),
                        replica("old-1", old_hash, ReplicaPhase::ready, 1)},
                       {node_with("n1", {})});
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"old-0"}));
  view.replicas[0].record.draining = true;
  EXPECT_TRUE(plan_deployment(view).drain.empty()) << "one at a time";
  view.replicas[0] = replica("d-0-22222222", new_hash, ReplicaPhase::starting, 0);
  EXPECT_TRUE(plan_deployment(view).drain.empty()) << "not before the successor serves";
  view.replicas[0].state->phase = ReplicaPhase::ready;
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"old-1"}));
}

TEST(PlanDeployment, gives_up_nothing_for_a_spec_that_would_not_fit_anyway) {
  Scene view = view_of(1, {replica("old", old_hash, ReplicaPhase::ready)}, {node_with("n1", {})});
  view.request.gpu_count = 4;
  EXPECT_TRUE(plan_deployment(view).drain.empty());
  view.request.gpu_count = 1;
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"old"}));
}

TEST(PlanDeployment, gives_up_old_replicas_at_once_when_they_do_not_serve) {
  const Scene view =
      view_of(1, {replica("old", old_hash, ReplicaPhase::exited)}, {node_with("n1", {1})});
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"old"}));
}

TEST(PlanDeployment, trusts_a_replica_that_is_only_just_being_found_again) {
  Scene view = view_of(1, {replica("new", new_hash, ReplicaPhase::starting),
                           replica("old", old_hash, ReplicaPhase::starting)});
  view.is_adopting = true;
  EXPECT_TRUE(plan_deployment(view).drain.empty());
  view.is_adopting = false;
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"old"}));
}

TEST(PlanDeployment, moves_replicas_off_a_node_that_is_theirs_no_more) {
  Scene view = view_of(1, {replica("home", new_hash, ReplicaPhase::ready)}, {node_with("n2", {0})});
  view.replicas[0].must_leave = true;
  DeploymentPlan plan = plan_deployment(view);
  EXPECT_EQ(plan.create.size(), 1U);
  EXPECT_TRUE(plan.drain.empty()) << "it waits for its successor";

  view.slots.clear();
  plan = plan_deployment(view);
  EXPECT_EQ(plan.unplaced, 1U);
  EXPECT_EQ(plan.drain, (Ids{"home"})) << "there will be none";
}

TEST(PlanDeployment, stops_everything_when_disabled_or_deleted) {
  Scene view = view_of(
      2,
      {replica("a", new_hash, ReplicaPhase::ready), replica("b", old_hash, ReplicaPhase::starting)},
      {node_with("n1", {1, 2})});
  view.deployment.spec.disabled = true;
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"a", "b"}));
  EXPECT_TRUE(plan_deployment(view).create.empty());
  view.deployment.spec.disabled = false;
  view.deployment.status.status = model::Status::deleting;
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"a", "b"}));
}

TEST(PlanDeployment, starts_nothing_new_once_failed_and_keeps_what_serves) {
  Scene view = view_of(2,
                       {replica("hopeless", new_hash, ReplicaPhase::failed),
                        replica("old", old_hash, ReplicaPhase::ready)},
                       {node_with("n1", {1, 2})});
  view.replicas[0].state->is_terminal = true;
  view.deployment.status.status = model::Status::failed;
  const DeploymentPlan plan = plan_deployment(view);
  EXPECT_EQ(plan.drain, (Ids{"hopeless"}));
  EXPECT_TRUE(plan.create.empty());
  EXPECT_TRUE(plan.start.empty());
}

TEST(PlanDeployment, drops_surplus_that_does_not_serve_before_the_newest) {
  Scene view = view_of(1, {replica("a", new_hash, ReplicaPhase::ready),
                           replica("b", new_hash, ReplicaPhase::starting),
                           replica("c", new_hash, ReplicaPhase::ready)});
  view.replicas[2].record.created_at = Timestamp{std::chrono::seconds{5}};
  EXPECT_EQ(plan_deployment(view).drain, (Ids{"b", "c"}));
}

TEST(HashOf, changes_with_what_a_replica_runs_and_with_nothing_else) {
  model::DeploymentSpec spec;
  spec.runtime = {.engine = "vllm", .version = "1.0.0", .engine_config = {{"a", "bc"}}};
  spec.resources = {.instance_type = "GPU-4X", .gpu_count = 1};
  const std::uint64_t hash = hash_of(spec);

  model::DeploymentSpec same = spec;
  same.name = "other";
  same.autoscaling = {.min = 3, .max = 9, .concurrency = 4};
  same.traffic.weight = 7;
  same.gateway_ids = {"g"};
  same.disabled = true;
  same.resources.instance_type = "gpu-4x";
  EXPECT_EQ(hash_of(same), hash);

  model::DeploymentSpec other = spec;
  other.runtime.engine_config = {{"ab", "c"}};
  EXPECT_NE(hash_of(other), hash);
  other = spec;
  other.runtime.engine_env = std::exchange(other.runtime.engine_config, {});
  EXPECT_NE(hash_of(other), hash);
  other = spec;
  other.resources.gpu_count = 2;
  EXPECT_NE(hash_of(other), hash);
  other = spec;
  other.model.path = "p";
  EXPECT_NE(hash_of(other), hash);
}

// Rolls specs over on random machines, with engines that take their time, and watches that as long
// as there is room for one more, serving never falls below what it was.
TEST(PlanDeployment, P13_a_roll_out_with_room_never_serves_with_less_than_min) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SeededRandom random(seed);
    const auto min = static_cast<std::uint32_t>(1 + random.below(3));
    const std::uint32_t slot_count = min + 1 + static_cast<std::uint32_t>(random.below(3));
    Scene view = view_of(min);
    std::set<std::uint32_t> taken;
    std::uint64_t hash = new_hash;
    bool was_up = false;
    for (int turn = 0; turn < 120; ++turn) {
      std::vector<std::uint32_t> free;
      for (std::uint32_t slot = 0; slot < slot_count; ++slot) {
        if (!taken.contains(slot)) free.push_back(slot);
      }
      view.slots = {node_with("n1", free)};
      view.slots[0].gpu_count = slot_count;
      view.spec_hash = hash;
      const DeploymentPlan plan = plan_deployment(view);
      const DeploymentPlan same = plan_deployment(view);
      ASSERT_EQ(plan.drain, same.drain);
      ASSERT_EQ(plan.create, same.create);

      for (SeenReplica& each : view.replicas) {
        const bool drains = std::count(plan.drain.begin(), plan.drain.end(), each.record.id) > 0;
        each.record.draining |= drains;
      }
      for (const model::Replica& record : plan.create) {
        for (const std::uint32_t slot : record.parts[0].gpu_slots)
          ASSERT_TRUE(taken.insert(slot).second);
        SeenReplica seen;
        seen.record = record;
        seen.state.emplace();
        view.replicas.push_back(std::move(seen));
      }
      // Time passes: some become ready, some that drain are gone.
      std::erase_if(view.replicas, [&](const SeenReplica& each) {
        if (!each.record.draining || random.below(2) == 0) return false;
        for (const std::uint32_t slot : each.record.parts[0].gpu_slots) taken.erase(slot);
        return true;
      });
      for (SeenReplica& each : view.replicas) {
        if (each.is_starting() && random.below(3) == 0) each.state->phase = ReplicaPhase::ready;
      }
      const auto serving = static_cast<std::uint32_t>(std::count_if(
          view.replicas.begin(), view.replicas.end(),
          [](const SeenReplica& each) { return each.is_ready() && !each.record.draining; }));
      was_up |= serving >= min;
      if (was_up) {
        ASSERT_GE(serving, min) << "seed " << seed << " turn " << turn;
      }
      if (was_up && random.below(25) == 0) hash += 1ULL << 32;
    }
    ASSERT_TRUE(was_up) << "seed " << seed;
  }
}

}  // namespace
}  // namespace staithe::reconcile
