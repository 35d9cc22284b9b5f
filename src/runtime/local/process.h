#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace staithe::runtime {

// A process by its pid and the time it was started, in clock ticks since the boot (field 22 of
// /proc/PID/stat, proc(5)): a pid that was given to another process is not mistaken for it.
struct ProcessIdentity {
  std::int64_t pid = 0;  // 0: no process
  std::uint64_t start_ticks = 0;

  bool operator==(const ProcessIdentity&) const = default;
};

// How a process ended.
struct ProcessExit {
  enum class Kind : std::uint8_t {
    code,
    signal,
    unknown,  // not our child: started by an earlier run of this server
  };
  Kind kind = Kind::unknown;
  int value = 0;
};
// "with code 3", "on signal 9 (Killed)", ...
std::string describe(const ProcessExit& exit);

struct SpawnRequest {
  std::string program;                   // an absolute path
  std::vector<std::string> arguments;    // [0] is the name it sees
  std::vector<std::string> environment;  // "NAME=value", all of it: nothing is inherited
  std::string working_directory;
  std::string output_path;  // standard output and error are appended here; input is /dev/null
};

// One running process that leads its own session, whether this run started it or an earlier one.
// Destruction lets go of it and leaves it running. Any one thread.
class Process {
 public:
  // Starts it in a session of its own, with default signals and no descriptor but 0 to 2. The
  // error is NOT_FOUND when there is nothing executable there, UNAVAILABLE when the system cannot
  // start it now. SIGCHLD must not be ignored by this program, or exit codes are lost.
  static Result<Process> spawn(const SpawnRequest& request);
  // Nothing when it is gone, or when the pid belongs to somebody else by now.
  static std::optional<Process> open(const ProcessIdentity& identity);

  const ProcessIdentity& identity() const { return identity_; }
  // Readable once the process has ended (pidfd_open(2)).
  int exit_fd() const { return pid_fd_.get(); }
  // Sends to every process of its group. Only while it has not been reaped.
  void signal_group(int signal) const;
  // Takes the exit status of an ended process from the kernel.
  ProcessExit reap();

 private:
  Process(ProcessIdentity identity, UniqueFd pid_fd, bool is_child)
      : identity_(identity), pid_fd_(std::move(pid_fd)), is_child_(is_child) {}

  ProcessIdentity identity_;
  UniqueFd pid_fd_;
  bool is_child_;
};

// Runs a short command to its end and returns what it printed, at most 1 MiB. For detecting
// hardware. DEADLINE_EXCEEDED when it takes longer than `timeout_ms` (it is killed then),
// UNAVAILABLE when it fails.
Result<std::string> run_for_output(const SpawnRequest& request, int timeout_ms);

}  // namespace staithe::runtime
