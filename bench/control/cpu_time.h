#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace staithe::bench {

// CPU time that the threads of this process have used so far, by thread name: threads of one name
// are summed. The kernel counts it in nanoseconds (proc(5), /proc/[pid]/task/[tid]/schedstat).
inline std::map<std::string, std::chrono::nanoseconds> cpu_time_by_thread() {
  std::map<std::string, std::chrono::nanoseconds> times;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::int64_t ran_ns = 0;
    std::ifstream(task.path() / "comm") >> name;
    std::ifstream(task.path() / "schedstat") >> ran_ns;
    times[name] += std::chrono::nanoseconds{ran_ns};
  }
  return times;
}

}  // namespace staithe::bench
