#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/node.h"
#include "runtime/driver.h"
#include "sim/stage.h"

namespace staithe::sim {

// How engines of one spec behave. It is part of the spec (the path of the model), so that everybody
// can tell what is to become of a deployment.
enum class Temper : std::uint8_t {
  steady,    // answers within seconds
  slow,      // loads for up to a minute
  stubborn,  // ignores the wish that it stop
  absent,    // its weights cannot be found while the storm lasts
  cursed,    // crashes soon after every start
  silent,    // never answers
  refused,   // cannot be started at all
};
std::string path_of(Temper temper);
Temper temper_of(const std::string& path);
// No amount of trying makes it answer.
bool is_doomed(Temper temper);

// A process, as it really is.
struct Engine {
  enum class Phase : std::uint8_t { loading, answering, frozen };

  std::int64_t pid = 0;
  runtime::ReplicaSpec spec;
  std::uint16_t port = 0;
  Phase phase = Phase::loading;
  bool is_asked_to_stop = false;
  bool is_stray = false;  // started by nobody we know
  Instant started_at;
};

bool runs_on(const Engine& engine, const model::Id& node_id);
// "node-01: 0,1; node-02: 0,1"
std::string text_of(const std::vector<model::ReplicaPart>& parts);

struct Machine {
  model::Node node;
  bool has_power = true;
  bool is_reachable = true;
  bool is_cordoned = false;
  bool is_retired = false;  // it will not come back
  Instant there_last;       // while it is not

  bool is_there() const { return has_power && is_reachable; }
};

// The machines and what runs on them: the truth, whatever anybody believes. They know nothing of
// the control plane; its driver looks at them and starts and signals processes.
class Machines {
 public:
  // What a driver keeps on disk of a replica.
  struct File {
    runtime::ReplicaSpec spec;
    std::int64_t pid = 0;  // of its last process
  };

  explicit Machines(Stage& stage) : stage_(stage) {}

  // ---- what a driver does and sees

  std::map<model::Id, File> files;

  std::int64_t spawn(const runtime::ReplicaSpec& spec);
  void terminate(std::int64_t pid);
  void kill(std::int64_t pid);
  const Engine* find(std::int64_t pid) const;
  const Machine* find_machine(const model::Id& id) const;
  // Whether one of these machines is out of reach, so that nobody knows what runs there; and
  // whether one of them is none at all or has no power.
  bool is_any_hidden(const runtime::ReplicaSpec& spec) const;
  bool is_any_down(const runtime::ReplicaSpec& spec) const;
  const std::map<model::Id, Machine>& all() const { return machines_; }
  // It has said of one of this deployment's replicas that trying again cannot help.
  void give_up(const model::Id& deployment_id) { given_up_.insert(deployment_id); }
  // Told of every change of an engine or a machine. One at a time.
  struct Watch {
    std::function<void(const model::Id& replica_id)> engine;
    std::function<void()> machines;
  };
  void set_watch(Watch watch) { watch_ = std::move(watch); }

  // ---- what a storm does

  void add(model::Node node);
  void cut_power(const model::Id& id);
  void cut_off(const model::Id& id);
  // For good.
  void retire(const model::Id& id);
  void cordon(const model::Id& id);
  void give_back(const model::Id& id);
  void crash(std::int64_t pid);
  void freeze(std::int64_t pid);
  void thaw(std::int64_t pid);
  void add_stray(const model::Id& node_id);
  // The end of all of it.
  void heal();

  // ---- what invariants ask

  const std::map<std::int64_t, Engine>& engines() const { return engines_; }
  // Whether a request to this replica would be answered.
  bool answers(const model::Id& replica_id) const;
  // Whether it would have been at some time within this long.
  bool has_answered(const model::Id& replica_id, Duration within) const;
  bool was_there(const Machine& machine, Duration within) const;
  // Whether so many are missing, and not for long, that whoever looks should doubt its eyes.
  bool is_loss_in_doubt() const;
  // Where it answers, or did last.
  std::optional<std::uint16_t> last_port(const model::Id& replica_id) const;
  bool has_been_given_up(const model::Id& deployment_id) const {
    return given_up_.contains(deployment_id);
  }
  // Called with every process that is about to start.
  std::function<void(const runtime::ReplicaSpec&)> before_spawn;

 private:
  struct Answered {
    Instant at;
    std::uint16_t port = 0;
  };

  bool answers(const Engine& engine) const;
  void begin_answering(std::int64_t pid);
  void end(std::int64_t pid, std::string_view how);
  // Whoever answers now did so a moment ago; called before that changes.
  void note_answering(const Engine& engine);
  void note_answering_on(const model::Id& node_id);
  void tell(const Engine& engine);
  void tell_machines();

  Stage& stage_;
  std::map<model::Id, Machine> machines_;
  std::map<std::int64_t, Engine> engines_;
  std::map<model::Id, std::int64_t> pid_of_;  // by replica
  std::map<model::Id, Answered> answered_;
  std::set<model::Id> given_up_;
  std::int64_t next_pid_ = 1'000;
  std::uint64_t next_stray_ = 1;
  Watch watch_;
};

}  // namespace staithe::sim
