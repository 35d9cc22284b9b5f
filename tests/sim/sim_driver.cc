#include "sim/sim_driver.h"

#include <utility>

namespace staithe::sim {
namespace {

using namespace std::chrono_literals;
using runtime::ReplicaPhase;

constexpr Duration stop_grace = 10s;  // from TERM to KILL
constexpr Duration start_max = 60s;   // an engine that does not answer by then is ended
constexpr Duration frozen_max = 30s;  // so is one that stopped answering for so long

}  // namespace

SimDriver::SimDriver(Stage& stage, Timeline::Owner owner, Life& life, Machines& machines,
                     std::function<bool(const model::Id&)> is_cutting,
                     std::function<void()> on_word)
    : stage_(stage),
      owner_(owner),
      life_(life),
      machines_(machines),
      is_cutting_(std::move(is_cutting)),
      on_word_(std::move(on_word)) {
  for (const auto& [id, file] : machines_.files) adopt(id, file);
  look_at_machines();
  machines_.set_watch({.engine = [this](const model::Id& id) { look_soon(id); },
                       .machines =
                           [this] {
                             stage_.timeline.after(delay(), owner_, [this] { look_at_machines(); });
                             for (const auto& [id, replica] : known_) look_soon(id);
                           }});
}

SimDriver::~SimDriver() {
  machines_.set_watch({});
}

// ---- questions

Result<std::vector<model::Node>> SimDriver::nodes() {
  if (!life_.goes_on()) return gone();
  if (stage_.strikes(stage_.weather.query_fails, "query fails")) return unavailable("nodes");
  return nodes_;
}

Result<std::vector<runtime::ReplicaState>> SimDriver::list() {
  if (!life_.goes_on()) return gone();
  if (stage_.strikes(stage_.weather.query_fails, "query fails")) return unavailable("list");
  std::vector<runtime::ReplicaState> states;
  states.reserve(known_.size());
  for (const auto& [id, replica] : known_) states.push_back(replica.state);
  return states;
}

Result<std::vector<runtime::ReplicaState>> SimDriver::replicas_of(const model::Id& deployment_id) {
  if (!life_.goes_on()) return gone();
  if (stage_.strikes(stage_.weather.query_fails, "query fails")) return unavailable("replicas_of");
  std::vector<runtime::ReplicaState> states;
  for (const auto& [id, replica] : known_) {
    if (replica.spec.deployment_id == deployment_id) states.push_back(replica.state);
  }
  return states;
}

Result<std::vector<std::string>> SimDriver::log_lines(const model::Id& replica_id, std::size_t) {
  return std::vector<std::string>{"log of " + replica_id};
}

void SimDriver::set_listener(std::function<void(const model::Id&)> on_change) {
  listener_ = std::move(on_change);
}

// ---- actions

Result<runtime::ReplicaState> SimDriver::ensure(const runtime::ReplicaSpec& spec) {
  if (!life_.goes_on()) return gone();
  if (stage_.strikes(stage_.weather.action_fails, "action fails")) return unavailable("ensure");
  Result<runtime::ReplicaState> seen = ensure_now(spec);
  if (stage_.strikes(stage_.weather.action_lies, "action lies")) return unavailable("ensure");
  return seen;
}

Result<bool> SimDriver::stop(const model::Id& replica_id) {
  if (!life_.goes_on()) return gone();
  if (stage_.strikes(stage_.weather.action_fails, "action fails")) return unavailable("stop");
  Result<bool> is_gone = stop_now(replica_id);
  if (stage_.strikes(stage_.weather.action_lies, "action lies")) return unavailable("stop");
  return is_gone;
}

Result<runtime::ReplicaState> SimDriver::ensure_now(const runtime::ReplicaSpec& spec) {
  auto found = known_.find(spec.id);
  if (found == known_.end()) {
    if (machines_.is_any_hidden(spec)) return unavailable("ensure: a machine is out of reach");
    Known replica{.spec = spec, .state = {}, .back_off = runtime::BackOff({})};
    replica.state.id = spec.id;
    replica.state.deployment_id = spec.deployment_id;
    replica.state.phase = ReplicaPhase::failed;  // until it is started below
    found = known_.emplace(spec.id, std::move(replica)).first;
    machines_.files[spec.id] = {.spec = spec, .pid = 0};
  }
  Known& replica = found->second;
  const bool is_due = replica.state.phase == ReplicaPhase::failed ||
                      (replica.state.phase == ReplicaPhase::exited &&
                       stage_.now() >= replica.back_off.restart_at());
  if (is_due) TRY(start(replica));
  return replica.state;
}

Result<bool> SimDriver::stop_now(const model::Id& replica_id) {
  const auto found = known_.find(replica_id);
  if (found == known_.end()) return true;
  Known& replica = found->second;
  if (replica.pid == 0) {
    tell(replica.spec.deployment_id);
    machines_.files.erase(replica_id);
    known_.erase(found);
    return true;
  }
  const bool has_process = machines_.find(replica.pid) != nullptr;
  if (has_process && machines_.is_any_hidden(replica.spec)) {
    return unavailable("stop: a machine is out of reach");
  }
  if (replica.state.phase != ReplicaPhase::stopping) {
    if (replica.state.phase == ReplicaPhase::ready && machines_.answers(replica_id) &&
        is_cutting_(replica_id)) {
      stage_.verdict.fail(
          Invariant::streams_are_not_cut,
          fmt::format("replica {} is stopped while the data plane sends it requests", replica_id));
    }
    set_phase(replica, ReplicaPhase::stopping, {}, {});
    machines_.terminate(replica.pid);
    stage_.timeline.after(stop_grace, owner_, [this, pid = replica.pid] {
      if (!life_.is_over()) machines_.kill(pid);
    });
    look_soon(replica_id);
  }
  return false;
}

Error SimDriver::unavailable(std::string_view what) const {
  return {.code = Code::unavailable,
          .message = fmt::format("the driver failed: {}", what),
          .reason = "DRIVER_UNAVAILABLE"};
}

// ---- what it knows

void SimDriver::adopt(const model::Id& replica_id, const Machines::File& file) {
  Known replica{.spec = file.spec, .state = {}, .back_off = runtime::BackOff({})};
  replica.state.id = replica_id;
  replica.state.deployment_id = file.spec.deployment_id;
  replica.state.since = stage_.now();
  const Engine* engine = file.pid == 0 ? nullptr : machines_.find(file.pid);
  const bool is_hidden = file.pid != 0 && machines_.is_any_hidden(file.spec);
  if (engine == nullptr && !is_hidden) {
    replica.state.phase = ReplicaPhase::exited;
    replica.state.message = "The engine has ended.";
  } else {
    // Whether it answers is found out by asking.
    replica.pid = file.pid;
    replica.state.phase = ReplicaPhase::starting;
    replica.state.pid = file.pid;
    replica.state.host = "127.0.0.1";
    replica.state.port = engine == nullptr ? std::uint16_t{0} : engine->port;
    replica.back_off.on_start(stage_.now());
  }
  known_.insert_or_assign(replica_id, std::move(replica));
  look_soon(replica_id);
  watch_start(replica_id, 0);
}

Result<void> SimDriver::start(Known& replica) {
  if (machines_.is_any_hidden(replica.spec)) return unavailable("start: a machine is out of reach");
  const Temper temper = temper_of(replica.spec.model.path);
  if (machines_.is_any_down(replica.spec)) {
    fail(replica, runtime::reason_start_failed, false);
  } else if (temper == Temper::refused) {
    fail(replica, runtime::reason_configuration_refused, true);
  } else if (temper == Temper::absent && stage_.weather.is_storm) {
    fail(replica, runtime::reason_bucket_not_found, false);
  } else {
    replica.back_off.on_start(stage_.now());
    replica.pid = machines_.spawn(replica.spec);
    machines_.files[replica.spec.id] = {.spec = replica.spec, .pid = replica.pid};
    replica.start += 1;
    replica.state.restarts = replica.back_off.restarts();
    replica.state.is_terminal = false;
    replica.state.host = "127.0.0.1";
    replica.state.port = machines_.find(replica.pid)->port;
    replica.state.pid = replica.pid;
    set_phase(replica, ReplicaPhase::starting, {}, {});
    watch_start(replica.spec.id, replica.start);
  }
  return {};
}

void SimDriver::watch_start(const model::Id& replica_id, std::uint64_t start) {
  stage_.timeline.after(start_max, owner_, [this, replica_id, start] {
    const auto found = known_.find(replica_id);
    if (found == known_.end() || found->second.start != start) return;
    const Known& replica = found->second;
    if (machines_.is_any_hidden(replica.spec)) return;
    if (replica.state.phase == ReplicaPhase::starting && replica.state.reason.empty()) {
      machines_.kill(replica.pid);
    }
  });
}

void SimDriver::fail(Known& replica, std::string_view reason, bool is_terminal) {
  replica.state.is_terminal = is_terminal;
  if (is_terminal) machines_.give_up(replica.spec.deployment_id);
  set_phase(replica, ReplicaPhase::failed, reason, fmt::format("It cannot start: {}.", reason));
}

void SimDriver::set_phase(Known& replica, ReplicaPhase phase, std::string_view reason,
                          std::string message) {
  if (replica.state.phase != phase) replica.state.since = stage_.now();
  replica.state.phase = phase;
  replica.state.reason = reason;
  replica.state.message = std::move(message);
  stage_.trace.note("the driver sees replica {} {}{}{}", replica.spec.id,
                    phase == ReplicaPhase::starting   ? "starting"
                    : phase == ReplicaPhase::ready    ? "ready"
                    : phase == ReplicaPhase::stopping ? "stopping"
                    : phase == ReplicaPhase::exited   ? "exited"
                                                      : "failed",
                    reason.empty() ? "" : " ", reason);
  tell(replica.spec.deployment_id);
}

void SimDriver::exit(Known& replica, std::string message) {
  replica.pid = 0;
  replica.state.pid = 0;
  replica.state.port = 0;
  replica.back_off.on_exit(stage_.now());
  const bool is_crash_loop = replica.back_off.is_crash_loop();
  replica.state.is_terminal = is_crash_loop && !replica.back_off.was_ever_ready();
  if (replica.state.is_terminal) machines_.give_up(replica.spec.deployment_id);
  set_phase(replica, ReplicaPhase::exited,
            is_crash_loop ? runtime::reason_crash_loop : std::string_view{}, std::move(message));
  stage_.timeline.at(replica.back_off.restart_at(), owner_,
                     [this, deployment_id = replica.spec.deployment_id] { tell(deployment_id); });
}

void SimDriver::look_soon(const model::Id& replica_id) {
  stage_.timeline.after(delay(), owner_, [this, replica_id] { look(replica_id); });
}

void SimDriver::look(const model::Id& replica_id) {
  auto found = known_.find(replica_id);
  if (found == known_.end()) {
    // Somebody has put it on a machine of ours.
    const auto file = machines_.files.find(replica_id);
    if (file != machines_.files.end()) adopt(replica_id, file->second);
    return;
  }
  Known& replica = found->second;
  if (replica.pid == 0) return;
  const Engine* engine = machines_.find(replica.pid);
  const bool is_hidden = machines_.is_any_hidden(replica.spec);
  if (engine == nullptr && !is_hidden) {
    if (replica.state.phase == ReplicaPhase::stopping) {
      tell(replica.spec.deployment_id);
      machines_.files.erase(replica_id);
      known_.erase(found);
    } else {
      exit(replica, "The engine ended with code 1.");
    }
    return;
  }
  if (replica.state.phase == ReplicaPhase::stopping) return;
  if (machines_.answers(replica_id)) {
    if (replica.state.phase == ReplicaPhase::ready) return;
    replica.state.port = engine->port;
    replica.back_off.on_ready(stage_.now());
    set_phase(replica, ReplicaPhase::ready, {}, {});
  } else if (replica.state.phase == ReplicaPhase::ready) {
    set_phase(replica, ReplicaPhase::starting, runtime::reason_health_check_failed,
              "The engine stopped answering.");
    stage_.timeline.after(frozen_max, owner_, [this, replica_id, start = replica.start] {
      const auto still = known_.find(replica_id);
      if (still == known_.end() || still->second.start != start) return;
      if (machines_.is_any_hidden(still->second.spec)) return;
      if (still->second.state.reason == runtime::reason_health_check_failed) {
        machines_.kill(still->second.pid);
      }
    });
  }
}

void SimDriver::look_at_machines() {
  nodes_.clear();
  for (const auto& [id, machine] : machines_.all()) {
    if (!machine.is_there()) continue;
    nodes_.push_back(machine.node);
    nodes_.back().schedulable = !machine.is_cordoned;
  }
}

Duration SimDriver::delay() {
  if (stage_.strikes(stage_.weather.notice_is_late, "notice late")) {
    return stage_.dice.between(Duration{100ms}, Duration{3s});
  }
  return stage_.dice.between(Duration{1ms}, Duration{200ms});
}

void SimDriver::tell(const model::Id& deployment_id) {
  if (stage_.strikes(stage_.weather.word_is_lost, "word lost")) return;
  const int times = stage_.strikes(stage_.weather.word_is_doubled, "word doubled") ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    const Duration late = stage_.strikes(stage_.weather.word_is_late, "word late")
                              ? stage_.dice.between(Duration{10ms}, Duration{5s})
                              : Duration{0};
    stage_.timeline.after(late, owner_, [this, deployment_id] {
      if (listener_) listener_(deployment_id);
      on_word_();
    });
  }
}

}  // namespace staithe::sim
