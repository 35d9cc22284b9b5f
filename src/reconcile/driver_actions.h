#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/executor.h"
#include "base/result.h"
#include "runtime/driver.h"

namespace staithe::reconcile {

// Starts and stops replicas through the driver, away from the control thread: a call that takes
// long, or never comes back, holds up its own replica and nobody else.
//
// A replica has one action at a time, and one that has begun is waited for: a stop never overtakes
// a start that may still be about to take a GPU. A node has at most `per_node_max` under way, so
// that a machine that hangs does not use up the executor. The rest waits here, first come, first
// served.
//
// One thread, but for `on_finished`, which runs on the executor's and must be quick. Actions that
// the executor runs at once are over when the call returns, and are not told.
class DriverActions {
 public:
  static constexpr std::size_t per_node_max = 4;

  // Both outlive what is under way: whoever ends this ends the executor before the driver.
  DriverActions(runtime::Driver& driver, Executor& executor,
                std::function<void(const model::Id& deployment_id)> on_finished);
  ~DriverActions();
  DriverActions(const DriverActions&) = delete;
  DriverActions& operator=(const DriverActions&) = delete;

  // Nothing happens while another action of this replica is under way.
  void ensure(const runtime::ReplicaSpec& spec);
  void stop(const model::Id& deployment_id, const model::Id& node_id, const model::Id& replica_id);

  // Takes over how actions ended, and begins those that waited for it.
  void collect();

  bool is_under_way(const model::Id& replica_id) const { return under_way_.contains(replica_id); }
  // The last action was a stop and found the replica gone.
  bool is_gone(const model::Id& replica_id) const;
  // The error of the replica's last action; each is told once.
  std::optional<Error> take_error(const model::Id& replica_id);
  // What is remembered of a replica that has no record any more.
  void forget(const model::Id& replica_id) { ended_.erase(replica_id); }

 private:
  struct Action {
    model::Id replica_id;
    model::Id deployment_id;
    model::Id node_id;
    std::optional<runtime::ReplicaSpec> spec;  // to be ensured; absent: to be stopped
  };
  struct End {
    bool is_gone = false;
    std::optional<Error> error;
  };
  struct Shared;

  void begin(Action action);
  void submit(const Action& action);
  void begin_waiting();

  runtime::Driver& driver_;
  Executor& executor_;
  const std::shared_ptr<Shared> shared_;
  std::set<model::Id> under_way_;  // replicas, waiting ones included
  std::map<model::Id, std::size_t> on_node_;
  std::deque<Action> waiting_;
  std::map<model::Id, End> ended_;
};

}  // namespace staithe::reconcile
