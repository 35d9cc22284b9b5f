#include "runtime/local/proc_table.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <string_view>

namespace staithe::runtime {
namespace {

constexpr std::string_view data_variable = "STAITHE_INSTALLATION";
constexpr std::string_view replica_variable = "STAITHE_REPLICA";
constexpr std::string_view deployment_variable = "STAITHE_DEPLOYMENT";
constexpr std::string_view port_variable = "STAITHE_REPLICA_PORT";

// A whole small file of /proc, at most 1 MiB of it.
std::optional<std::string> read_proc_file(const std::string& path) {
  constexpr std::size_t bytes_max = 1024 * 1024;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return std::nullopt;
  std::string text;
  char buffer[8192];
  while (text.size() < bytes_max) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::nullopt;
    if (count == 0) break;
    text.append(buffer, static_cast<std::size_t>(count));
  }
  return text;
}

template <typename Number>
Number to_number(std::string_view text) {
  Number value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<std::int64_t> all_pids() {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  std::vector<std::int64_t> pids;
  if (proc == nullptr) return pids;
  while (const dirent* entry = ::readdir(proc.get())) {
    const std::string_view name = entry->d_name;
    if (name.front() >= '1' && name.front() <= '9') pids.push_back(to_number<std::int64_t>(name));
  }
  return pids;
}

}  // namespace

std::optional<ProcessStat> read_stat(std::int64_t pid) {
  const auto text = read_proc_file(fmt::format("/proc/{}/stat", pid));
  if (!text.has_value()) return std::nullopt;
  // The second field is the command in parentheses, which may hold anything, parentheses included.
  const std::size_t command_end = text->rfind(')');
  if (command_end == std::string::npos || command_end + 2 >= text->size()) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(command_end + 2);
  constexpr std::size_t field_count = 20;  // fields 3 to 22
  std::string_view fields[field_count];
  for (std::string_view& field : fields) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    field = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (fields[19].empty()) return std::nullopt;
  return ProcessStat{.state = fields[0].front(),
                     .parent = to_number<std::int64_t>(fields[1]),
                     .session = to_number<std::int64_t>(fields[3]),
                     .start_ticks = to_number<std::uint64_t>(fields[19])};
}

// By number: <sys/pidfd.h> of glibc 2.36 cannot be used from C++, as it lacks the C linkage.
UniqueFd open_pid_fd(std::int64_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
}

std::vector<std::string> marker_environment(const Marker& marker) {
  return {fmt::format("{}={}", data_variable, marker.data_mark),
          fmt::format("{}={}", replica_variable, marker.replica_id),
          fmt::format("{}={}", deployment_variable, marker.deployment_id),
          fmt::format("{}={}", port_variable, marker.port)};
}

std::optional<Marker> read_marker(std::int64_t pid) {
  const auto text = read_proc_file(fmt::format("/proc/{}/environ", pid));
  if (!text.has_value()) return std::nullopt;
  Marker marker;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::string_view entry = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = entry.substr(0, equals);
    const std::string_view value = entry.substr(equals + 1);
    if (name == data_variable) marker.data_mark = value;
    if (name == replica_variable) marker.replica_id = value;
    if (name == deployment_variable) marker.deployment_id = value;
    if (name == port_variable) marker.port = to_number<std::uint16_t>(value);
  }
  if (marker.data_mark.empty() || marker.replica_id.empty()) return std::nullopt;
  return marker;
}

std::vector<MarkedProcess> find_marked(const std::string& data_mark) {
  std::vector<MarkedProcess> found;
  for (const std::int64_t pid : all_pids()) {
    auto marker = read_marker(pid);
    if (!marker.has_value() || marker->data_mark != data_mark) continue;
    const auto stat = read_stat(pid);
    if (!stat.has_value() || stat->is_dead()) continue;
    found.push_back({.identity = {.pid = pid, .start_ticks = stat->start_ticks},
                     .marker = std::move(*marker),
                     .is_leader = stat->session == pid});
  }
  return found;
}

std::vector<ProcessIdentity> find_members(const ReplicaMembers& members) {
  std::int64_t session = members.session.pid;
  if (session != 0) {
    // While any process of a session lives its number is not given out again, so another process
    // with this pid means that the session has ended.
    const auto leader = read_stat(session);
    if (leader.has_value() && leader->start_ticks != members.session.start_ticks) session = 0;
  }
  std::vector<ProcessIdentity> found;
  for (const std::int64_t pid : all_pids()) {
    const auto stat = read_stat(pid);
    if (!stat.has_value() || stat->is_dead()) continue;
    bool is_member = session != 0 && stat->session == session;
    if (!is_member) {
      const auto marker = read_marker(pid);
      is_member = marker.has_value() && marker->data_mark == members.data_mark &&
                  marker->replica_id == members.replica_id;
    }
    if (is_member) found.push_back({.pid = pid, .start_ticks = stat->start_ticks});
  }
  return found;
}

bool is_running(const ProcessIdentity& identity) {
  const auto stat = read_stat(identity.pid);
  return stat.has_value() && !stat->is_dead() && stat->start_ticks == identity.start_ticks;
}

void kill_process(const ProcessIdentity& identity) {
  const UniqueFd pid_fd = open_pid_fd(identity.pid);
  const auto stat = read_stat(identity.pid);
  if (!pid_fd.is_open() || !stat.has_value() || stat->start_ticks != identity.start_ticks) return;
  ::syscall(SYS_pidfd_send_signal, pid_fd.get(), SIGKILL, nullptr, 0);
}

std::string read_boot_id() {
  auto text = read_proc_file("/proc/sys/kernel/random/boot_id").value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace staithe::runtime
