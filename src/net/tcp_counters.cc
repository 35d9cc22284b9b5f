#include "net/tcp_counters.h"

// The kernel's tcp_info has counters that the C library's lacks; the two headers cannot meet in one
// file.
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace staithe::net {

std::uint64_t tcp_acknowledged_bytes(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_acked;
}

}  // namespace staithe::net
