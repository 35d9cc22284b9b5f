#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "net/event_loop.h"
#include "net/http_client.h"
#include "runtime/driver.h"
#include "runtime/engine.h"
#include "runtime/local/back_off.h"
#include "runtime/local/engine_log.h"
#include "runtime/local/local_options.h"
#include "runtime/local/probe.h"
#include "runtime/local/proc_table.h"
#include "runtime/local/process.h"
#include "runtime/local/replica_files.h"

namespace staithe::runtime {

class LocalReplica;

// What a replica needs of its driver.
class ReplicaOwner {
 public:
  virtual ~ReplicaOwner() = default;
  virtual void on_changed(const LocalReplica& replica) = 0;
  // An adopted replica was asked for the first time, and has answered or not.
  virtual void on_first_probe() = 0;
  // It is gone with all its files. The owner destroys it, but not before the loop's turn is over.
  virtual void on_gone(const model::Id& replica_id) = 0;
  virtual std::set<std::uint16_t> ports_in_use() const = 0;
};

// What all replicas of a driver share. Outlives them.
struct ReplicaContext {
  const LocalOptions& options;
  net::EventLoop& loop;
  net::HttpClient& client;
  Random& random;
  const Log& log;
  Metrics& metrics;
  ReplicaOwner& owner;
  std::string engines_directory;
  std::string data_mark;
  std::string boot_id;
  model::Id gpu_node_id;
};

// All that was looked up for a start, so that the loop need not wait for a file system.
struct Launch {
  ReplicaSpec spec;
  Engine engine;
  std::string program;   // absolute path
  CommandValues values;  // all but the port
};

// One replica on this machine: a small state machine on the driver's loop.
//
//              start()                    readiness probe
//   (new) ----------------> starting <------------------------> ready
//     |  \                   |    \          probes fail         / |
//     |   \ refuse()         |     `------- the process ends ---'  | request_stop()
//     |    `--> failed       |                   |                 |
//     |          ^  \        |                   v                 v
//     |          |   `-------+----- start() -- exited ---------> stopping --> gone
//     `- adopt() puts a running process into `starting`
//
// The process is never alone in being dealt with: whatever carries the replica's marker or belongs
// to its session goes before the replica counts as gone and before it is started again.
class LocalReplica final : private net::FdHandler {
 public:
  LocalReplica(ReplicaContext& context, model::Id id, model::Id deployment_id);
  ~LocalReplica() override;
  LocalReplica(const LocalReplica&) = delete;
  LocalReplica& operator=(const LocalReplica&) = delete;

  const model::Id& id() const { return state_.id; }
  const model::Id& deployment_id() const { return state_.deployment_id; }
  const ReplicaState& state() const { return state_; }
  // The port it has or had; 0: none.
  std::uint16_t port() const { return record_.port; }
  const EngineLog& log_file() const { return log_file_; }

  // True when ensure() should look up a Launch and call start(): nothing runs and no back-off does.
  bool wants_start() const;
  // Starts the process. What goes wrong becomes the state `failed`.
  void start(const Launch& launch);
  // It cannot be started; the reason is one of driver.h's.
  void refuse(const Error& error);

  // Takes over a process of an earlier run. `engine` may be null when it is not known: then it is
  // not asked whether it is ready until complete() tells.
  void adopt(Process process, const ReplicaRecord& record, const Engine* engine);
  // What ensure() knows about a replica that was found by its marker alone.
  void complete(const ReplicaSpec& spec, const Engine& engine);
  bool is_complete() const { return is_complete_; }
  // It was there in an earlier run and no process is left of it.
  void note_lost(const ReplicaRecord& record);

  // True when it is gone at once; otherwise on_gone() follows.
  bool request_stop();
  void rotate_log() const { log_file_.rotate(context_.options.log_bytes_max); }

 private:
  void on_ready(std::uint32_t epoll_events) override;  // of the exit descriptor

  void set_phase(ReplicaPhase phase, std::string_view reason, std::string message);
  void fail(std::string_view reason, std::string message);
  Result<void> spawn(const Launch& launch);
  std::vector<std::string> environment(const Launch& launch, std::uint16_t port) const;
  void watch(Process process);
  void on_exit(const ProcessExit& exit);

  void schedule_probe(Duration delay);
  void probe();
  void on_probed(const Result<void>& outcome);

  void kill_now();
  bool kill_leftovers();  // true when none was left
  void sweep();
  void remove();
  std::string with_log_lines(std::string message) const;

  ReplicaContext& context_;
  const ReplicaFiles files_;
  const EngineLog log_file_;
  ReplicaState state_;
  ReplicaRecord record_;
  bool is_complete_ = false;  // target_ and record_ are known
  ProbeTarget target_;
  Probe prober_;
  BackOff back_off_;

  std::optional<Process> process_;
  ProcessIdentity session_;                 // of the last process that this run saw alive
  std::vector<ProcessIdentity> leftovers_;  // killed and not seen to have ended
  Instant started_at_;
  bool is_first_probe_due_ = false;
  std::uint32_t probe_failures_ = 0;  // in a row
  Duration probe_delay_{};
  net::TimerId probe_timer_ = 0;
  net::TimerId stop_timer_ = 0;  // the grace time, then the sweeps
  net::TimerId restart_timer_ = 0;
  Duration sweep_delay_{};
};

}  // namespace staithe::runtime
