#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/driver.h"
#include "runtime/local/back_off.h"
#include "sim/life.h"
#include "sim/machines.h"
#include "sim/stage.h"

namespace staithe::sim {

// The driver of one process of ours. What it says is what it knows, and it learns a little late
// what became of an engine or a machine. It keeps the promises of runtime::Driver, on several
// machines: of a replica on a machine out of reach it never says that it is gone.
class SimDriver final : public runtime::Driver {
 public:
  // `is_cutting(replica)`: streams would be cut if this replica were stopped now.
  SimDriver(Stage& stage, Timeline::Owner owner, Life& life, Machines& machines,
            std::function<bool(const model::Id& replica_id)> is_cutting,
            std::function<void()> on_word);
  ~SimDriver() override;

  Result<std::vector<model::Node>> nodes() override;
  Result<runtime::ReplicaState> ensure(const runtime::ReplicaSpec& spec) override;
  Result<bool> stop(const model::Id& replica_id) override;
  Result<std::vector<runtime::ReplicaState>> list() override;
  Result<std::vector<runtime::ReplicaState>> replicas_of(const model::Id& deployment_id) override;
  Result<std::vector<std::string>> log_lines(const model::Id& replica_id,
                                             std::size_t count) override;
  void set_listener(std::function<void(const model::Id&)> on_change) override;

 private:
  struct Known {
    runtime::ReplicaSpec spec;
    runtime::ReplicaState state;
    runtime::BackOff back_off;
    std::int64_t pid = 0;
    std::uint64_t start = 0;  // tells the timers of one start from those of the next
  };

  Error unavailable(std::string_view what) const;
  Result<runtime::ReplicaState> ensure_now(const runtime::ReplicaSpec& spec);
  Result<bool> stop_now(const model::Id& replica_id);
  void adopt(const model::Id& replica_id, const Machines::File& file);
  Result<void> start(Known& replica);
  void watch_start(const model::Id& replica_id, std::uint64_t start);
  void fail(Known& replica, std::string_view reason, bool is_terminal);
  void set_phase(Known& replica, runtime::ReplicaPhase phase, std::string_view reason,
                 std::string message);
  void exit(Known& replica, std::string message);
  // Looks at an engine, in a while.
  void look_soon(const model::Id& replica_id);
  void look(const model::Id& replica_id);
  void look_at_machines();
  Duration delay();
  void tell(const model::Id& deployment_id);

  Stage& stage_;
  const Timeline::Owner owner_;
  Life& life_;
  Machines& machines_;
  const std::function<bool(const model::Id&)> is_cutting_;
  const std::function<void()> on_word_;
  std::function<void(const model::Id&)> listener_;
  std::map<model::Id, Known> known_;
  std::vector<model::Node> nodes_;
};

}  // namespace staithe::sim
