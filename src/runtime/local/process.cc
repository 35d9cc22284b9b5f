#include "runtime/local/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "runtime/local/proc_table.h"

namespace staithe::runtime {
namespace {

// The two halves of posix_spawn's description, released together.
class SpawnPlan {
 public:
  SpawnPlan() {
    CHECK(posix_spawn_file_actions_init(&actions_) == 0);
    CHECK(posix_spawnattr_init(&attributes_) == 0);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  // Input is /dev/null, output and error go to `output_fd` or, if that is negative, to a file.
  int prepare(const SpawnRequest& request, int output_fd) {
    sigset_t no_signals;
    sigset_t all_signals;
    sigemptyset(&no_signals);
    sigfillset(&all_signals);
    constexpr mode_t owner_only = 0600;
    int problem = 0;
    const auto step = [&problem](int result) {
      if (problem == 0) problem = result;
    };
    step(posix_spawnattr_setsigmask(&attributes_, &no_signals));
    step(posix_spawnattr_setsigdefault(&attributes_, &all_signals));
    step(posix_spawnattr_setflags(
        &attributes_,
        static_cast<short>(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)));
    step(posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0));
    if (output_fd >= 0) {
      step(posix_spawn_file_actions_adddup2(&actions_, output_fd, 1));
    } else {
      step(posix_spawn_file_actions_addopen(&actions_, 1, request.output_path.c_str(),
                                            O_WRONLY | O_CREAT | O_APPEND, owner_only));
    }
    step(posix_spawn_file_actions_adddup2(&actions_, 1, 2));
    // Ours are all close-on-exec; this also covers what a library or our own parent left open.
    step(posix_spawn_file_actions_addclosefrom_np(&actions_, 3));
    if (!request.working_directory.empty()) {
      step(posix_spawn_file_actions_addchdir_np(&actions_, request.working_directory.c_str()));
    }
    return problem;
  }

  int start(const SpawnRequest& request, pid_t& pid) {
    return posix_spawn(&pid, request.program.c_str(), &actions_, &attributes_,
                       pointers(request.arguments).data(), pointers(request.environment).data());
  }

 private:
  static std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> result;
    result.reserve(texts.size() + 1);
    // posix_spawn takes `char* const[]` for historical reasons and changes nothing (POSIX).
    for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
    result.push_back(nullptr);
    return result;
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

Error spawn_error(const SpawnRequest& request, int problem) {
  const bool is_program_at_fault =
      problem == ENOENT || problem == EACCES || problem == ENOEXEC || problem == ENOTDIR;
  return Error{.code = is_program_at_fault ? Code::not_found : Code::unavailable,
               .message = fmt::format("{} could not be started: {}", request.program,
                                      strerrordesc_np(problem))};
}

Result<pid_t> spawn_child(const SpawnRequest& request, int output_fd) {
  SpawnPlan plan;
  pid_t pid = 0;
  int problem = plan.prepare(request, output_fd);
  if (problem == 0) problem = plan.start(request, pid);
  if (problem != 0) return spawn_error(request, problem);
  return pid;
}

}  // namespace

std::string describe(const ProcessExit& exit) {
  switch (exit.kind) {
    case ProcessExit::Kind::code:
      return fmt::format("with code {}", exit.value);
    case ProcessExit::Kind::signal: {
      const char* name = sigdescr_np(exit.value);
      return fmt::format("on signal {} ({})", exit.value, name == nullptr ? "unknown" : name);
    }
    case ProcessExit::Kind::unknown:
      break;
  }
  return "with an unknown code, as an earlier run of the server had started it";
}

Result<Process> Process::spawn(const SpawnRequest& request) {
  TRY_ASSIGN(const pid_t pid, spawn_child(request, -1));
  // Nobody else reaps our children, so the pid is still this child's, even if it has ended.
  UniqueFd pid_fd = open_pid_fd(pid);
  const auto stat = read_stat(pid);
  if (!pid_fd.is_open() || !stat.has_value()) {
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return Error{.code = Code::unavailable,
                 .message = fmt::format("{} was started but cannot be watched", request.program)};
  }
  return Process({.pid = pid, .start_ticks = stat->start_ticks}, std::move(pid_fd), true);
}

std::optional<Process> Process::open(const ProcessIdentity& identity) {
  if (identity.pid <= 0) return std::nullopt;
  // The descriptor comes first: once it is open, what is read of the pid is about its process.
  UniqueFd pid_fd = open_pid_fd(identity.pid);
  const auto stat = read_stat(identity.pid);
  if (!pid_fd.is_open() || !stat.has_value() || stat->is_dead() ||
      stat->start_ticks != identity.start_ticks) {
    return std::nullopt;
  }
  const bool is_child = stat->parent == ::getpid();
  return Process(identity, std::move(pid_fd), is_child);
}

void Process::signal_group(int signal) const {
  // It leads its session, so its group has its pid; the group's number stays taken while the
  // process is not reaped or any member lives.
  ::kill(static_cast<pid_t>(-identity_.pid), signal);
}

ProcessExit Process::reap() {
  if (!is_child_) return {};
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(pid_fd_.get()), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return {};
  const bool is_code = info.si_code == CLD_EXITED;
  return {.kind = is_code ? ProcessExit::Kind::code : ProcessExit::Kind::signal,
          .value = info.si_status};
}

Result<std::string> run_for_output(const SpawnRequest& request, int timeout_ms) {
  constexpr std::size_t output_bytes_max = 1024 * 1024;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error{.code = Code::unavailable, .message = "no pipe could be made"};
  }
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  TRY_ASSIGN(const pid_t pid, spawn_child(request, write_end.get()));
  write_end.reset();

  std::string output;
  bool is_complete = false;
  while (output.size() < output_bytes_max) {
    pollfd poll_fd{.fd = read_end.get(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    char buffer[4096];
    const ssize_t count = ::read(read_end.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      is_complete = count == 0;
      break;
    }
    output.append(buffer, static_cast<std::size_t>(count));
  }
  if (!is_complete) ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!is_complete) {
    return Error{.code = Code::deadline_exceeded,
                 .message = fmt::format("{} did not finish in time", request.program)};
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Error{.code = Code::unavailable, .message = fmt::format("{} failed", request.program)};
  }
  return output;
}

}  // namespace staithe::runtime
