#include "net/tcp_info.h"

// The kernel's own header, because the C library's tcp_info ends before the field that is read
// here. The two cannot be included together.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace staithe::net {

std::optional<std::uint64_t> acknowledged_bytes(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  constexpr std::size_t size_needed =
      offsetof(tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < size_needed) {
    return std::nullopt;
  }
  return info.tcpi_bytes_acked;
}

}  // namespace staithe::net
