#include <fmt/format.h>
#include <gtest/gtest.h>

#include "reconcile/testing/rig.h"

// Random lives, each status of which is held against the table of legal steps.
namespace staithe::reconcile {
namespace {

using namespace std::chrono_literals;
using enum model::Status;
using testing::claim_spec;
using testing::deployment_spec;
using testing::gateway_spec;
using testing::node;
using testing::Rig;

class Life {
 public:
  explicit Life(std::uint64_t seed) : random_(seed), rig_(seed) {
    const std::uint64_t node_count = 1 + random_.below(4);
    for (std::uint64_t i = 0; i < node_count; ++i) {
      rig_.driver.add_node(
          node("n" + std::to_string(i), 1 + static_cast<std::uint32_t>(random_.below(4))));
    }
    rig_.create(gateway_spec("g1"));
  }

  void live() {
    for (int i = 0; i < 25; ++i) {
      act();
      rig_.run_for(std::chrono::milliseconds{random_.below(4000)});
      check_hardware();
    }
    // The faults end; everything must come to rest.
    rig_.driver.script({});
    for (const char* id : {"d0", "d1", "d2"}) rig_.driver.script(id, {});
    rig_.busy.clear();
    EXPECT_TRUE(rig_.run_until([this] { return is_at_rest(); }, 10min)) << describe();
    for (const char* id : {"d0", "d1", "d2"}) {
      if (rig_.deployment(id)) rig_.erase_deployment(id);
    }
    for (const char* id : {"c0", "c1"}) {
      if (rig_.claim(id)) rig_.erase_claim(id);
    }
    rig_.erase_gateway("g1");
    EXPECT_TRUE(rig_.run_until([this] {
      return !rig_.gateway("g1") && store::list_claims(rig_.store)->empty() &&
             store::list_deployments(rig_.store)->empty();
    }));
    EXPECT_TRUE(rig_.engines().empty());
    EXPECT_TRUE(store::list_replicas(rig_.store)->empty());
    for (const std::string& fault : rig_.witness.faults()) ADD_FAILURE() << fault;
  }

 private:
  void act() {
    const model::Id deployment = "d" + std::to_string(random_.below(3));
    const model::Id claim = "c" + std::to_string(random_.below(2));
    switch (random_.below(10)) {
      case 0:
      case 1:
      case 2:
        return change_deployment(deployment);
      case 3:
      case 4:
        return change_claim(claim);
      case 5:
        if (may_change(rig_.deployment(deployment))) rig_.erase_deployment(deployment);
        return;
      case 6:
        if (may_change(rig_.claim(claim))) rig_.erase_claim(claim);
        return;
      case 7:
        return rig_.driver.script(deployment, any_script());
      case 8:
        return disturb_replicas(deployment);
      case 9:
        return rig_.start_loop();
    }
  }

  template <typename T>
  static bool may_change(const std::optional<T>& resource) {
    return resource && resource->status.status != deleting;
  }

  void change_deployment(const model::Id& id) {
    const auto known = rig_.deployment(id);
    const auto min = static_cast<std::uint32_t>(1 + random_.below(3));
    if (!known) return rig_.create(deployment_spec(id, min));
    if (!may_change(known)) return;
    rig_.update_deployment(id, [&](model::DeploymentSpec& spec) {
      spec.autoscaling.min = min;
      spec.disabled = random_.below(5) == 0;
      spec.autoscaling.priority = static_cast<std::uint32_t>(random_.below(3));
      if (random_.below(2) == 0) spec.model.path = "p" + std::to_string(random_.below(100));
    });
  }

  void change_claim(const model::Id& id) {
    const auto known = rig_.claim(id);
    const auto count = static_cast<std::uint32_t>(1 + random_.below(3));
    if (!known) return rig_.create(claim_spec(id, count));
    if (!may_change(known)) return;
    rig_.update_claim(id, [&](model::ClaimSpec& spec) { spec.resources.instance_count = count; });
  }

  void disturb_replicas(const model::Id& deployment) {
    for (const model::Replica& replica : rig_.replicas(deployment)) {
      if (random_.below(2) == 0) rig_.driver.crash(replica.id, "killed");
      if (random_.below(3) == 0) rig_.busy.insert(replica.id);
    }
  }

  runtime::FakeScript any_script() {
    runtime::FakeScript script;
    script.start_delay = std::chrono::milliseconds{random_.below(3000)};
    script.stop_delay = std::chrono::milliseconds{random_.below(2000)};
    if (random_.below(4) == 0) script.crash_count = static_cast<std::uint32_t>(random_.below(8));
    if (random_.below(4) == 0) {
      script.failure = runtime::FakeScript::Failure{"PathNotFound", "not there", false};
    }
    if (random_.below(8) == 0) {
      script.failure = runtime::FakeScript::Failure{"InvalidModel", "not a model", true};
    }
    return script;
  }

  // No GPU works for two, no node serves two claims, every engine has its record, and READY is
  // true.
  void check_hardware() {
    std::set<std::pair<model::Id, std::uint32_t>> slots;
    for (const runtime::ReplicaSpec& spec : rig_.driver.running()) {
      for (const model::ReplicaPart& part : spec.parts) {
        for (const std::uint32_t slot : part.gpu_slots) {
          EXPECT_TRUE(slots.emplace(part.node_id, slot).second) << part.node_id << " sold twice";
        }
      }
      EXPECT_TRUE(store::get_replica(rig_.store, spec.id)->has_value()) << spec.id;
    }
    std::set<model::Id> held;
    const auto claims = store::list_claims(rig_.store);
    for (const auto& claim : *claims) {
      const model::ClaimStatus& status = claim.value.status;
      for (const model::Id& id : status.nodes) EXPECT_TRUE(held.insert(id).second) << id;
      if (status.status == ready) {
        EXPECT_EQ(status.allocated_instances, claim.value.spec.resources.instance_count);
      }
    }
    const bool is_adopting =
        rig_.clock.instant() < rig_.loop_started_at + rig_.options.adoption_max + 1s;
    const auto deployments = store::list_deployments(rig_.store);
    for (const auto& each : *deployments) {
      const model::DeploymentSpec& spec = each.value.spec;
      if (each.value.status.status == ready && !spec.disabled && !is_adopting) {
        EXPECT_GE(rig_.routable_count(spec.id), spec.autoscaling.min) << spec.id << " lies";
      }
    }
  }

  // READY, FAILED, or waiting for capacity that is not there.
  bool is_at_rest() {
    const auto deployments = store::list_deployments(rig_.store);
    for (const auto& each : *deployments) {
      const model::Status status = each.value.status.status;
      const bool waits =
          Rig::condition(std::optional(each.value), "Scheduled").starts_with("False/");
      if (status != ready && status != failed && !waits) return false;
    }
    const auto claims = store::list_claims(rig_.store);
    for (const auto& each : *claims) {
      if (each.value.status.status == deleting) return false;
      if (each.value.status.status != ready && each.value.status.pending_instances == 0) {
        return false;
      }
    }
    return true;
  }

  std::string describe() {
    std::string text;
    for (const char* id : {"d0", "d1", "d2"}) {
      const auto deployment = rig_.deployment(id);
      if (!deployment) continue;
      text += fmt::format("{} {} min {}", id, model::status_name(deployment->status.status),
                          deployment->spec.autoscaling.min);
      for (const model::Condition& condition : deployment->status.conditions) {
        text += fmt::format("; {} {}", condition.reason, condition.message);
      }
      text += "\n";
      const auto states = rig_.driver.list();
      for (const model::Replica& replica : rig_.replicas(id)) {
        text += fmt::format("  {} on {} draining {}", replica.id, replica.parts[0].node_id,
                            replica.draining);
        for (const auto& state : *states) {
          if (state.id == replica.id)
            text += fmt::format(" phase {}", static_cast<int>(state.phase));
        }
        text += "\n";
      }
    }
    for (const char* id : {"c0", "c1"}) {
      const auto claim = rig_.claim(id);
      if (!claim) continue;
      text +=
          fmt::format("{} {} allocated {} pending {} holds {}\n", id,
                      model::status_name(claim->status.status), claim->status.allocated_instances,
                      claim->status.pending_instances, claim->status.nodes.size());
    }
    return text;
  }

  SeededRandom random_;
  Rig rig_;
};

TEST(Lifecycle, takes_only_legal_steps_and_leaves_nothing_in_200_random_lives) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Life(seed).live();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace staithe::reconcile
