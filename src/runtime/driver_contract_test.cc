// What every driver promises. One suite, run on each of them: a fake that behaves better or worse
// than the real thing would make the tests of everything above it worthless.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "runtime/driver_test_kit.h"

namespace staithe::runtime::testing {
namespace {

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Rig>()> make;
};

class DriverContract : public ::testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<Rig> rig_ = GetParam().make();
  Rig& rig() { return *rig_; }
  Driver& driver() { return rig_->driver(); }
};

INSTANTIATE_TEST_SUITE_P(Drivers, DriverContract,
                         ::testing::Values(Kind{"Fake", [] { return std::make_unique<FakeRig>(); }},
                                           Kind{"Local",
                                                [] { return std::make_unique<LocalRig>(); }}),
                         [](const auto& one) { return one.param.name; });

TEST_P(DriverContract, there_is_a_machine_to_run_on) {
  const auto nodes = driver().nodes().value();
  ASSERT_EQ(nodes.size(), 1U);
  EXPECT_EQ(nodes[0].id, "node-1");
  EXPECT_GE(nodes[0].gpu_count, 1U);
  EXPECT_TRUE(nodes[0].schedulable);
}

TEST_P(DriverContract, a_replica_starts_and_becomes_ready) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::normal);

  const ReplicaState first = driver().ensure(spec).value();

  EXPECT_EQ(first.id, "r1");
  EXPECT_EQ(first.deployment_id, spec.deployment_id);
  EXPECT_EQ(first.phase, ReplicaPhase::starting);
  EXPECT_EQ(first.host, "127.0.0.1");
  EXPECT_NE(first.port, 0);
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  const ReplicaState ready = rig().find("r1").value();
  EXPECT_EQ(ready.port, first.port);
  EXPECT_EQ(ready.pid, first.pid);
  EXPECT_EQ(ready.restarts, 0U);
  const auto heard = rig().ear.heard();
  EXPECT_GE(std::count(heard.begin(), heard.end(), spec.deployment_id), 2);
}

TEST_P(DriverContract, ensuring_again_is_the_same_replica) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::normal);
  const ReplicaState first = driver().ensure(spec).value();
  EXPECT_EQ(driver().ensure(spec).value().pid, first.pid);
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  EXPECT_EQ(driver().ensure(spec).value().pid, first.pid);
  EXPECT_EQ(driver().list().value().size(), 1U);
}

TEST_P(DriverContract, replicas_have_ports_of_their_own) {
  const auto one = driver().ensure(rig().make_spec("r1", Behaviour::normal)).value();
  const auto two = driver().ensure(rig().make_spec("r2", Behaviour::normal)).value();
  EXPECT_NE(one.port, two.port);
  EXPECT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  EXPECT_TRUE(rig().wait_for("r2", ReplicaPhase::ready));
}

TEST_P(DriverContract, replicas_of_a_deployment_are_those_of_the_list_that_belong_to_it) {
  ReplicaSpec mine = rig().make_spec("r1", Behaviour::normal);
  mine.deployment_id = "mine";
  ReplicaSpec other = rig().make_spec("r2", Behaviour::normal);
  other.deployment_id = "other";
  driver().ensure(mine).value();
  driver().ensure(other).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));

  const auto states = driver().replicas_of("mine").value();
  ASSERT_EQ(states.size(), 1U);
  EXPECT_EQ(states[0].id, "r1");
  EXPECT_EQ(states[0].phase, ReplicaPhase::ready);
  EXPECT_TRUE(driver().replicas_of("nobody").value().empty());

  EXPECT_TRUE(rig().stop_and_wait("r1"));
  EXPECT_TRUE(driver().replicas_of("mine").value().empty());
  EXPECT_EQ(driver().replicas_of("other").value().size(), 1U);
}

TEST_P(DriverContract, R14_a_loading_model_is_not_ready_though_its_port_is_open) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::loads_for_long);
  driver().ensure(spec).value();
  // Another one that starts later and becomes ready shows that enough time has passed.
  driver().ensure(rig().make_spec("r2", Behaviour::ignores_term)).value();
  ASSERT_TRUE(rig().wait_for("r2", ReplicaPhase::ready));
  EXPECT_EQ(rig().find("r1").value().phase, ReplicaPhase::starting);
  rig().finish_loading();
  EXPECT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
}

TEST_P(DriverContract, a_stopped_replica_is_gone_and_may_be_stopped_again) {
  driver().ensure(rig().make_spec("r1", Behaviour::normal)).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));

  EXPECT_FALSE(driver().stop("r1").value());
  EXPECT_TRUE(rig().stop_and_wait("r1"));

  EXPECT_TRUE(driver().stop("r1").value());
  EXPECT_TRUE(driver().list().value().empty());
}

TEST_P(DriverContract, a_replica_may_be_stopped_before_it_is_ready) {
  driver().ensure(rig().make_spec("r1", Behaviour::loads_for_long)).value();
  EXPECT_FALSE(driver().stop("r1").value());
  EXPECT_TRUE(rig().stop_and_wait("r1"));
  EXPECT_TRUE(driver().list().value().empty());
}

TEST_P(DriverContract, stopping_what_never_was_succeeds) {
  EXPECT_TRUE(driver().stop("never-was").value());
}

TEST_P(DriverContract, P01_a_replica_that_ignores_the_signal_is_gone_after_the_grace_time) {
  driver().ensure(rig().make_spec("r1", Behaviour::ignores_term)).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));

  EXPECT_FALSE(driver().stop("r1").value());
  EXPECT_EQ(rig().find("r1").value().phase, ReplicaPhase::stopping);
  EXPECT_TRUE(rig().stop_and_wait("r1"));
  EXPECT_FALSE(rig().find("r1").has_value());
}

TEST_P(DriverContract, a_stopping_replica_is_not_started_again) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::ignores_term);
  driver().ensure(spec).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  driver().stop("r1").value();
  EXPECT_EQ(driver().ensure(spec).value().phase, ReplicaPhase::stopping);
  EXPECT_TRUE(rig().stop_and_wait("r1"));
}

TEST_P(DriverContract, an_engine_that_is_not_installed_is_a_failure_with_its_reason) {
  const auto state = driver().ensure(rig().make_spec("r1", Behaviour::program_missing)).value();
  EXPECT_EQ(state.phase, ReplicaPhase::failed);
  EXPECT_EQ(state.reason, reason_engine_missing);
  EXPECT_FALSE(state.is_terminal);
  EXPECT_NE(state.message, "");
  EXPECT_EQ(rig().find("r1").value().phase, ReplicaPhase::failed);
  EXPECT_TRUE(driver().stop("r1").value());
  EXPECT_TRUE(driver().list().value().empty());
}

TEST_P(DriverContract, missing_weights_are_a_failure_that_heals_when_they_appear) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::weights_missing);
  const auto state = driver().ensure(spec).value();
  EXPECT_EQ(state.phase, ReplicaPhase::failed);
  EXPECT_EQ(state.reason, reason_path_not_found);
  EXPECT_FALSE(state.is_terminal);

  rig().put_weights();

  EXPECT_EQ(driver().ensure(spec).value().phase, ReplicaPhase::starting);
  EXPECT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
}

TEST_P(DriverContract, P11_a_crash_on_every_start_ends_in_a_terminal_crash_loop) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::crashes);
  ReplicaState state = driver().ensure(spec).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::exited));
  state = rig().find("r1").value();
  EXPECT_EQ(state.reason, "");
  EXPECT_FALSE(state.is_terminal);
  EXPECT_EQ(state.pid, 0);
  EXPECT_NE(state.message.find("with code "), std::string::npos) << state.message;

  ASSERT_TRUE(rig().wait([&] {
    state = driver().ensure(spec).value();
    return state.reason == reason_crash_loop;
  }));

  EXPECT_EQ(state.phase, ReplicaPhase::exited);
  EXPECT_TRUE(state.is_terminal);
  EXPECT_EQ(state.restarts, 4U);
  EXPECT_TRUE(driver().stop("r1").value());
}

TEST_P(DriverContract, a_ready_replica_that_crashes_starts_again_when_asked_to) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::normal);
  driver().ensure(spec).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));

  rig().crash("r1");

  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::exited));
  EXPECT_NE(rig().find("r1").value().message.find("on signal 9"), std::string::npos);
  ASSERT_TRUE(
      rig().wait([&] { return driver().ensure(spec).value().phase != ReplicaPhase::exited; }));
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  EXPECT_EQ(rig().find("r1").value().restarts, 1U);
}

TEST_P(DriverContract, the_listener_is_told_when_a_back_off_has_passed) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::crashes);
  driver().ensure(spec).value();
  // Of the start, the crash, and the end of the pause after it.
  EXPECT_TRUE(rig().wait([&] { return rig().ear.heard().size() == 3; }));
  EXPECT_EQ(rig().find("r1").value().phase, ReplicaPhase::exited);
}

TEST_P(DriverContract, a_replica_that_stops_answering_is_ready_no_more_until_it_answers_again) {
  const ReplicaSpec spec = rig().make_spec("r1", Behaviour::normal);
  const auto first = driver().ensure(spec).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));

  rig().set_healthy("r1", false);

  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::starting));
  EXPECT_EQ(rig().find("r1").value().reason, reason_health_check_failed);
  EXPECT_EQ(rig().find("r1").value().pid, first.pid);
  rig().set_healthy("r1", true);
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  EXPECT_EQ(rig().find("r1").value().reason, "");
}

TEST_P(DriverContract, P02_an_orphan_is_listed_with_its_deployment_and_can_be_stopped) {
  rig().add_orphan("lost", "forgotten-deployment");

  const auto state = rig().find("lost");

  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->deployment_id, "forgotten-deployment");
  EXPECT_NE(state->pid, 0);
  EXPECT_TRUE(rig().stop_and_wait("lost"));
  EXPECT_TRUE(driver().list().value().empty());
}

TEST_P(DriverContract, log_lines_of_an_unknown_replica_are_not_found) {
  const auto lines = driver().log_lines("never-was", 10);
  ASSERT_FALSE(lines.has_value());
  EXPECT_EQ(lines.error().code, Code::not_found);
}

TEST_P(DriverContract, a_replaced_listener_is_not_called_any_more) {
  driver().set_listener([](const model::Id&) {});
  driver().ensure(rig().make_spec("r1", Behaviour::normal)).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  EXPECT_TRUE(rig().ear.heard().empty());
}

TEST_P(DriverContract, a_listener_may_call_the_driver) {
  std::atomic<std::size_t> seen_count{0};
  driver().set_listener(
      [this, &seen_count](const model::Id&) { seen_count += driver().list().value().size(); });
  driver().ensure(rig().make_spec("r1", Behaviour::normal)).value();
  ASSERT_TRUE(rig().wait_for("r1", ReplicaPhase::ready));
  driver().set_listener({});
  EXPECT_GT(seen_count.load(), 0U);
}

}  // namespace
}  // namespace staithe::runtime::testing
