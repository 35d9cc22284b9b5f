#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "runtime/local/process.h"

// What the kernel tells about processes, through /proc (proc(5)). Answers are snapshots.
namespace staithe::runtime {

struct ProcessStat {
  char state = '?';
  std::int64_t parent = 0;
  std::int64_t session = 0;
  std::uint64_t start_ticks = 0;

  bool is_dead() const { return state == 'Z' || state == 'X'; }  // ended, maybe not reaped
};
std::optional<ProcessStat> read_stat(std::int64_t pid);

// A descriptor of the process that has this pid now (pidfd_open(2)); closed when there is none.
UniqueFd open_pid_fd(std::int64_t pid);

// The environment variables by which an engine process says whose it is: STAITHE_INSTALLATION,
// STAITHE_REPLICA, STAITHE_DEPLOYMENT and STAITHE_REPLICA_PORT. Everything it starts inherits them.
struct Marker {
  std::string data_mark;  // which data directory, and so which installation, it belongs to
  std::string replica_id;
  std::string deployment_id;
  std::uint16_t port = 0;

  bool operator==(const Marker&) const = default;
};
std::vector<std::string> marker_environment(const Marker& marker);
// Nothing when the process has no marker, has overwritten its environment (as setproctitle does),
// or belongs to another user.
std::optional<Marker> read_marker(std::int64_t pid);

struct MarkedProcess {
  ProcessIdentity identity;
  Marker marker;
  bool is_leader = false;  // of its session, as the process that the driver starts is
};
// Every living process that carries `data_mark`.
std::vector<MarkedProcess> find_marked(const std::string& data_mark);

// The living processes that belong to one replica: those that carry its marker, and those of its
// session, given as the leader's pid. `session` is 0 unless the leader was seen alive by this run.
struct ReplicaMembers {
  std::string data_mark;
  std::string replica_id;
  ProcessIdentity session;
};
std::vector<ProcessIdentity> find_members(const ReplicaMembers& members);
// Whether exactly this process has not ended yet.
bool is_running(const ProcessIdentity& identity);
// Kills exactly this process.
void kill_process(const ProcessIdentity& identity);

// Changes with each boot of the machine; empty when it cannot be read.
std::string read_boot_id();

}  // namespace staithe::runtime
