#include "reconcile/driver_actions.h"

#include <mutex>
#include <utility>
#include <vector>

namespace staithe::reconcile {

// What the executor's threads leave for us. It outlives us if an action does.
struct DriverActions::Shared {
  struct Finished {
    Action action;
    End end;
  };

  std::mutex mutex;  // guards all below
  std::vector<Finished> finished;
  std::function<void(const model::Id& deployment_id)> on_finished;  // empty once we are gone

  void put(Finished done, bool is_told) {
    const std::lock_guard lock(mutex);
    const model::Id deployment_id = done.action.deployment_id;
    finished.push_back(std::move(done));
    if (is_told && on_finished) on_finished(deployment_id);
  }
};

DriverActions::DriverActions(runtime::Driver& driver, Executor& executor,
                             std::function<void(const model::Id& deployment_id)> on_finished)
    : driver_(driver), executor_(executor), shared_(std::make_shared<Shared>()) {
  shared_->on_finished = std::move(on_finished);
}

DriverActions::~DriverActions() {
  const std::lock_guard lock(shared_->mutex);
  shared_->on_finished = nullptr;
}

void DriverActions::ensure(const runtime::ReplicaSpec& spec) {
  begin({.replica_id = spec.id,
         .deployment_id = spec.deployment_id,
         .node_id = spec.parts.front().node_id,
         .spec = spec});
}

void DriverActions::stop(const model::Id& deployment_id, const model::Id& node_id,
                         const model::Id& replica_id) {
  begin({.replica_id = replica_id,
         .deployment_id = deployment_id,
         .node_id = node_id,
         .spec = std::nullopt});
}

void DriverActions::begin(Action action) {
  if (!under_way_.insert(action.replica_id).second) return;
  ended_.erase(action.replica_id);
  waiting_.push_back(std::move(action));
  begin_waiting();
  collect();
}

void DriverActions::begin_waiting() {
  std::deque<Action> still_waiting;
  for (Action& action : std::exchange(waiting_, {})) {
    std::size_t& count = on_node_[action.node_id];
    if (count >= per_node_max) {
      still_waiting.push_back(std::move(action));
      continue;
    }
    count += 1;
    submit(action);
  }
  waiting_ = std::move(still_waiting);
}

void DriverActions::submit(const Action& action) {
  // Whether the work ran before we were back from handing it over; then nobody needs to be told.
  struct HandOver {
    std::mutex mutex;
    bool is_over = false;
  };
  const auto hand_over = std::make_shared<HandOver>();
  const bool is_taken = executor_.submit([action, hand_over, shared = shared_, &driver = driver_] {
    Shared::Finished done{.action = action, .end = {}};
    if (action.spec) {
      const Result<runtime::ReplicaState> started = driver.ensure(*action.spec);
      if (!started) done.end.error = started.error();
    } else {
      const Result<bool> is_gone = driver.stop(action.replica_id);
      if (is_gone) {
        done.end.is_gone = *is_gone;
      } else {
        done.end.error = is_gone.error();
      }
    }
    const std::lock_guard lock(hand_over->mutex);
    shared->put(std::move(done), hand_over->is_over);
  });
  if (!is_taken) {
    shared_->put({.action = action,
                  .end = {.error = Error{.code = Code::unavailable,
                                         .message = "too many calls of the driver are under way"}}},
                 true);
  }
  const std::lock_guard lock(hand_over->mutex);
  hand_over->is_over = true;
}

void DriverActions::collect() {
  while (true) {
    std::vector<Shared::Finished> finished;
    {
      const std::lock_guard lock(shared_->mutex);
      finished.swap(shared_->finished);
    }
    if (finished.empty()) return;
    for (Shared::Finished& done : finished) {
      under_way_.erase(done.action.replica_id);
      const auto count = on_node_.find(done.action.node_id);
      if (--count->second == 0) on_node_.erase(count);
      ended_[done.action.replica_id] = std::move(done.end);
    }
    begin_waiting();
  }
}

bool DriverActions::is_gone(const model::Id& replica_id) const {
  const auto found = ended_.find(replica_id);
  return found != ended_.end() && found->second.is_gone;
}

std::optional<Error> DriverActions::take_error(const model::Id& replica_id) {
  const auto found = ended_.find(replica_id);
  if (found == ended_.end()) return std::nullopt;
  return std::exchange(found->second.error, std::nullopt);
}

}  // namespace staithe::reconcile
