#include "app/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace staithe::app {
namespace {

constexpr std::size_t kept_descriptors = 256;
constexpr std::size_t connections_min = 64;

}  // namespace

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlim_t former = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : former;
}

std::size_t connections_per_server(std::size_t descriptors, std::size_t server_count) {
  const std::size_t free = descriptors - std::min(descriptors, kept_descriptors);
  return std::max(free / 4 * 3 / server_count, connections_min);
}

}  // namespace staithe::app
