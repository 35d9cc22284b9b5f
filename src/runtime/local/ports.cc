#include "runtime/local/ports.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "base/unique_fd.h"

namespace staithe::runtime {
namespace {

// The port that was bound, or nothing when somebody has it. Port 0 binds any.
std::optional<std::uint16_t> try_bind(std::uint16_t port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return std::nullopt;
  // As servers do: connections that linger after a close do not make the port taken.
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      // Two sockets with SO_REUSEADDR may be bound to one port; only one of them may listen.
      ::listen(socket.get(), 1) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return std::nullopt;
  }
  return ntohs(address.sin_port);
}

}  // namespace

bool is_port_free(std::uint16_t port) {
  return try_bind(port).has_value();
}

Result<std::uint16_t> choose_port(const PortRange& range, const std::set<std::uint16_t>& taken,
                                  Random& random) {
  if (range.first == 0) {
    constexpr int attempts_max = 100;
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
      const auto port = try_bind(0);
      if (port.has_value() && !taken.contains(*port)) return *port;
    }
    return Error{.code = Code::resource_exhausted, .message = "the system has no free port"};
  }
  // From a random place, so that servers sharing a range seldom want the same port.
  const std::uint32_t count = range.last - range.first + 1U;
  const auto offset = static_cast<std::uint32_t>(random.below(count));
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(range.first + (offset + i) % count);
    if (!taken.contains(port) && is_port_free(port)) return port;
  }
  return Error{
      .code = Code::resource_exhausted,
      .message = fmt::format("no free port for an engine from {} to {}", range.first, range.last)};
}

}  // namespace staithe::runtime
