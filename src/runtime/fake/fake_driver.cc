#include "runtime/fake/fake_driver.h"

#include <algorithm>
#include <utility>

namespace staithe::runtime {

Result<std::vector<model::Node>> FakeDriver::nodes() {
  const std::lock_guard lock(mutex_);
  TRY(check_refused());
  return nodes_;
}

Result<ReplicaState> FakeDriver::ensure(const ReplicaSpec& spec) {
  std::unique_lock lock(mutex_);
  calls_.push_back({Call::Kind::ensure, spec.id});
  TRY(check_refused());
  settle_locked();
  auto found = replicas_.find(spec.id);
  if (found == replicas_.end()) {
    ReplicaState state{.id = spec.id, .deployment_id = spec.deployment_id, .message = {}};
    state.phase = ReplicaPhase::failed;  // until start() below
    found = replicas_
                .emplace(spec.id, Replica{.spec = spec,
                                          .script = {},
                                          .state = std::move(state),
                                          .back_off = BackOff(back_off_)})
                .first;
    of_deployment_[spec.deployment_id].insert(spec.id);
  }
  Replica& replica = found->second;
  const bool is_due = replica.state.phase == ReplicaPhase::failed ||
                      (replica.state.phase == ReplicaPhase::exited &&
                       clock_.instant() >= replica.back_off.restart_at());
  if (is_due) start(replica);
  ReplicaState seen = replica.state;
  tell(std::move(lock));
  return seen;
}

Result<bool> FakeDriver::stop(const model::Id& replica_id) {
  std::unique_lock lock(mutex_);
  calls_.push_back({Call::Kind::stop, replica_id});
  TRY(check_refused());
  settle_locked();
  const auto found = replicas_.find(replica_id);
  if (found == replicas_.end()) {
    tell(std::move(lock));
    return true;
  }
  Replica& replica = found->second;
  const bool has_process = replica.state.pid != 0;
  if (!has_process) {
    forget(found);
  } else if (replica.state.phase != ReplicaPhase::stopping) {
    set_phase(replica, ReplicaPhase::stopping, {}, {});
    set_due(replica, clock_.instant() + replica.script.stop_delay);
  }
  tell(std::move(lock));
  return !has_process;
}

Result<std::vector<ReplicaState>> FakeDriver::list() {
  std::unique_lock lock(mutex_);
  TRY(check_refused());
  settle_locked();
  std::vector<ReplicaState> states;
  for (const auto& [id, replica] : replicas_) states.push_back(replica.state);
  tell(std::move(lock));
  return states;
}

Result<std::vector<ReplicaState>> FakeDriver::replicas_of(const model::Id& deployment_id) {
  std::unique_lock lock(mutex_);
  TRY(check_refused());
  settle_locked();
  std::vector<ReplicaState> states;
  if (const auto ids = of_deployment_.find(deployment_id); ids != of_deployment_.end()) {
    for (const model::Id& id : ids->second) states.push_back(replicas_.at(id).state);
  }
  tell(std::move(lock));
  return states;
}

Result<std::vector<std::string>> FakeDriver::log_lines(const model::Id& replica_id,
                                                       std::size_t count) {
  const std::lock_guard lock(mutex_);
  TRY(check_refused());
  if (!replicas_.contains(replica_id)) {
    return Error{.code = Code::not_found, .message = "no such replica"};
  }
  if (count == 0) return std::vector<std::string>{};
  return std::vector<std::string>{"log of " + replica_id};
}

void FakeDriver::set_listener(std::function<void(const model::Id& deployment_id)> on_change) {
  const std::lock_guard telling(telling_mutex_);
  const std::lock_guard lock(mutex_);
  listener_ = std::move(on_change);
}

void FakeDriver::add_node(model::Node node) {
  const std::lock_guard lock(mutex_);
  nodes_.push_back(std::move(node));
}

void FakeDriver::remove_node(const model::Id& node_id) {
  std::unique_lock lock(mutex_);
  std::erase_if(nodes_, [&node_id](const model::Node& node) { return node.id == node_id; });
  for (auto& [id, replica] : replicas_) {
    const auto& parts = replica.spec.parts;
    const bool is_there = std::any_of(parts.begin(), parts.end(), [&node_id](const auto& part) {
      return part.node_id == node_id;
    });
    if (is_there && replica.state.pid != 0) end(replica, "its node is gone");
  }
  tell(std::move(lock));
}

void FakeDriver::hide_node(const model::Id& node_id) {
  const std::lock_guard lock(mutex_);
  std::erase_if(nodes_, [&node_id](const model::Node& node) { return node.id == node_id; });
}

void FakeDriver::script(FakeScript script) {
  const std::lock_guard lock(mutex_);
  default_script_ = std::move(script);
}

void FakeDriver::script(const model::Id& deployment_id, FakeScript script) {
  const std::lock_guard lock(mutex_);
  scripts_[deployment_id] = std::move(script);
}

void FakeDriver::serve_at(std::string host, std::uint16_t port) {
  const std::lock_guard lock(mutex_);
  endpoint_ = {std::move(host), port};
}

void FakeDriver::crash(const model::Id& replica_id, std::string message) {
  std::unique_lock lock(mutex_);
  settle_locked();
  const auto found = replicas_.find(replica_id);
  if (found != replicas_.end() && found->second.state.pid != 0) {
    end(found->second, std::move(message));
  }
  tell(std::move(lock));
}

void FakeDriver::set_healthy(const model::Id& replica_id, bool is_healthy) {
  std::unique_lock lock(mutex_);
  settle_locked();
  const auto found = replicas_.find(replica_id);
  if (found != replicas_.end()) {
    Replica& replica = found->second;
    if (!is_healthy && replica.state.phase == ReplicaPhase::ready) {
      set_phase(replica, ReplicaPhase::starting, reason_health_check_failed,
                "the engine stopped answering");
    } else if (is_healthy && replica.state.phase == ReplicaPhase::starting) {
      set_phase(replica, ReplicaPhase::ready, {}, {});
      replica.back_off.on_ready(clock_.instant());
      set_due(replica, Instant::max());
    }
  }
  tell(std::move(lock));
}

void FakeDriver::add_orphan(const model::Id& replica_id, const model::Id& deployment_id) {
  std::unique_lock lock(mutex_);
  ReplicaSpec spec;
  spec.id = replica_id;
  spec.deployment_id = deployment_id;
  ReplicaState state{.id = replica_id, .deployment_id = deployment_id, .message = {}};
  auto& replica = replicas_
                      .insert_or_assign(replica_id, Replica{.spec = std::move(spec),
                                                            .script = {},
                                                            .state = std::move(state),
                                                            .back_off = BackOff(back_off_)})
                      .first->second;
  of_deployment_[deployment_id].insert(replica_id);
  start(replica);
  tell(std::move(lock));
}

void FakeDriver::refuse_calls(std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(error);
}

void FakeDriver::settle() {
  std::unique_lock lock(mutex_);
  settle_locked();
  tell(std::move(lock));
}

std::optional<Instant> FakeDriver::next_due() const {
  const std::lock_guard lock(mutex_);
  return due_.empty() ? std::nullopt : std::optional(due_.begin()->first);
}

std::vector<FakeDriver::Call> FakeDriver::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::vector<ReplicaSpec> FakeDriver::running() const {
  const std::lock_guard lock(mutex_);
  std::vector<ReplicaSpec> specs;
  for (const auto& [id, replica] : replicas_) {
    if (replica.state.pid != 0) specs.push_back(replica.spec);
  }
  return specs;
}

// ---- behind the lock

Result<void> FakeDriver::check_refused() const {
  if (refusal_.has_value()) return *refusal_;
  return {};
}

void FakeDriver::set_phase(Replica& replica, ReplicaPhase phase, std::string_view reason,
                           std::string message) {
  if (replica.state.phase != phase) replica.state.since = clock_.instant();
  replica.state.phase = phase;
  replica.state.reason = reason;
  replica.state.message = std::move(message);
  changed_deployments_.insert(replica.state.deployment_id);
}

void FakeDriver::start(Replica& replica) {
  const auto own = scripts_.find(replica.state.deployment_id);
  const FakeScript script = own == scripts_.end() ? default_script_ : own->second;
  replica.script = script;
  if (!replica.crashes_left.has_value()) replica.crashes_left = script.crash_count;
  set_due(replica, Instant::max());
  if (script.failure.has_value()) {
    replica.state.is_terminal = script.failure->is_terminal;
    return set_phase(replica, ReplicaPhase::failed, script.failure->reason,
                     script.failure->message);
  }
  replica.back_off.on_start(clock_.instant());
  replica.state.restarts = replica.back_off.restarts();
  replica.state.is_terminal = false;
  replica.state.host = endpoint_.has_value() ? endpoint_->first : "127.0.0.1";
  replica.state.port = endpoint_.has_value() ? endpoint_->second : next_port_++;
  replica.state.pid = next_pid_++;
  set_phase(replica, ReplicaPhase::starting, {}, {});
  if (!script.never_ready) set_due(replica, clock_.instant() + script.start_delay);
}

void FakeDriver::end(Replica& replica, std::string message) {
  replica.state.pid = 0;
  replica.state.port = 0;
  replica.back_off.on_exit(clock_.instant());
  set_due(replica, replica.back_off.restart_at());
  replica.is_told_of_back_off = false;
  const bool is_crash_loop = replica.back_off.is_crash_loop();
  replica.state.is_terminal = is_crash_loop && !replica.back_off.was_ever_ready();
  set_phase(replica, ReplicaPhase::exited, is_crash_loop ? reason_crash_loop : std::string_view{},
            std::move(message));
}

void FakeDriver::set_due(Replica& replica, Instant due) {
  due_.erase({replica.due, replica.spec.id});
  replica.due = due;
  if (due != Instant::max()) due_.insert({due, replica.spec.id});
}

void FakeDriver::forget(std::map<model::Id, Replica>::iterator which) {
  Replica& replica = which->second;
  set_due(replica, Instant::max());
  changed_deployments_.insert(replica.state.deployment_id);
  const auto ids = of_deployment_.find(replica.state.deployment_id);
  ids->second.erase(which->first);
  if (ids->second.empty()) of_deployment_.erase(ids);
  replicas_.erase(which);
}

void FakeDriver::settle_locked() {
  const Instant now = clock_.instant();
  // One change each: what comes of it is due at the next call.
  std::vector<model::Id> due_ids;
  for (const auto& [due, id] : due_) {
    if (due > now) break;
    due_ids.push_back(id);
  }
  for (const model::Id& id : due_ids) {
    const auto found = replicas_.find(id);
    Replica& replica = found->second;
    set_due(replica, Instant::max());
    if (replica.state.phase == ReplicaPhase::stopping) {
      forget(found);
    } else if (replica.state.phase == ReplicaPhase::starting && replica.crashes_left > 0U) {
      *replica.crashes_left -= 1;
      end(replica, "the engine ended with code 1 after 0.0 s");
    } else if (replica.state.phase == ReplicaPhase::starting) {
      replica.back_off.on_ready(now);
      set_phase(replica, ReplicaPhase::ready, {}, {});
    } else if (!std::exchange(replica.is_told_of_back_off, true)) {
      changed_deployments_.insert(replica.state.deployment_id);
    }
  }
}

void FakeDriver::tell(std::unique_lock<std::mutex> lock) {
  if (changed_deployments_.empty()) return;
  lock.unlock();
  const std::lock_guard telling(telling_mutex_);
  lock.lock();
  const auto changed = std::exchange(changed_deployments_, {});
  const auto listener = listener_;
  lock.unlock();
  if (listener == nullptr) return;
  for (const model::Id& deployment_id : changed) listener(deployment_id);
}

}  // namespace staithe::runtime
