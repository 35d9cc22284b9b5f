#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/deployment.h"
#include "model/node.h"

namespace staithe::runtime {

// All that is needed to run one replica, as a value. Two equal specs are the same process.
struct ReplicaSpec {
  model::Id id;  // also the marker by which a driver finds its process again
  model::Id deployment_id;
  std::string organization_id;
  std::vector<model::ReplicaPart> parts;  // never empty; the first is on its leader's node
  model::DeploymentRuntime runtime;
  model::DeploymentModel model;
  std::uint32_t concurrency = 0;  // parallel requests the engine should accept; 0: its default

  bool operator==(const ReplicaSpec&) const = default;
};

enum class ReplicaPhase : std::uint8_t {
  starting,  // the process runs, the model does not answer yet
  ready,     // the model answered its readiness probe
  stopping,  // asked to stop, not gone yet
  exited,    // gone without having been asked; kept until stop() forgets it
  failed,    // could not be started: program, weights or configuration; see `reason`
};

// What a driver sees of one replica right now.
struct ReplicaState {
  model::Id id;
  model::Id deployment_id;
  ReplicaPhase phase = ReplicaPhase::starting;
  std::string host;  // of its HTTP endpoint, an IP address; valid while starting or ready
  std::uint16_t port = 0;
  std::int64_t pid = 0;  // 0 where there is no process of ours to name
  // One of the reasons below. Of `failed` always; of `exited` once it is a crash loop, empty before
  // that; of `starting` HealthCheckFailed when it was ready and answers no more.
  std::string reason;
  std::string message;  // for people: what is missing, exit code or signal, last log lines
  // Trying the same again cannot help: weights that are no model, a refused configuration, an
  // engine that crashed on every try and never became ready. ensure() tries all the same, so that
  // what was mended outside is noticed; whether to go on calling it is the caller's choice.
  bool is_terminal = false;
  std::uint32_t restarts = 0;
  Instant since;  // start of the phase
};

// Reasons that become the reasons of conditions.
inline constexpr std::string_view reason_bucket_not_found = "BucketNotFound";
inline constexpr std::string_view reason_path_not_found = "PathNotFound";
inline constexpr std::string_view reason_access_denied = "AccessDenied";
inline constexpr std::string_view reason_invalid_model = "InvalidModel";
inline constexpr std::string_view reason_engine_missing = "EngineMissing";
inline constexpr std::string_view reason_configuration_refused = "ConfigurationRefused";
inline constexpr std::string_view reason_start_failed = "StartFailed";  // no port, disk full, ...
inline constexpr std::string_view reason_crash_loop = "EngineCrashLoop";
inline constexpr std::string_view reason_health_check_failed = "HealthCheckFailed";

// Where models run. Any thread but an event loop.
//
// Queries (nodes, list, replicas_of) are answered from what the driver knows anyway and never wait
// for a machine. Actions (ensure, stop) may: for a file system, a process start, another server.
// Callers who have more than one replica to look after run actions aside. No action waits for a
// model to load, and every call is safe to repeat; an action that returned an error may still have
// had its effect.
class Driver {
 public:
  virtual ~Driver() = default;

  // The machines there are now.
  virtual Result<std::vector<model::Node>> nodes() = 0;

  // Starts the replica unless it runs already; equal ids are the same replica, however often this
  // is called and by whichever incarnation of this server. Returns what is seen of it. A replica
  // that `failed` is tried again by each call. One that `exited` is started again by the next call
  // once its back-off has passed (the listener is told when); until then its state is returned. One
  // that is `stopping` stays so: its successor needs another id, or has to wait.
  virtual Result<ReplicaState> ensure(const ReplicaSpec& spec) = 0;

  // Asks the replica to stop (TERM, after the grace time KILL of its whole group) and forgets it
  // once it is gone. Returns true when it is gone (or never was).
  virtual Result<bool> stop(const model::Id& replica_id) = 0;

  // Everything this driver runs, found again after a restart included: also what no store knows
  // (orphans).
  virtual Result<std::vector<ReplicaState>> list() = 0;
  // Those of list() that belong to one deployment.
  virtual Result<std::vector<ReplicaState>> replicas_of(const model::Id& deployment_id) = 0;

  // The last lines of its log, newest last.
  virtual Result<std::vector<std::string>> log_lines(const model::Id& replica_id,
                                                     std::size_t count) = 0;

  // Called on an unspecified thread, one call at a time, when the state of some replica of that
  // deployment may have changed: started, ready, exited, gone, back-off passed. It must be quick;
  // it may call the driver. Once this returns the listener before is not called any more.
  virtual void set_listener(std::function<void(const model::Id& deployment_id)> on_change) = 0;
};

}  // namespace staithe::runtime
