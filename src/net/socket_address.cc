#include "net/socket_address.h"

#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "base/check.h"

namespace staithe::net {

std::string SocketAddress::host() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  int text_family = family();
  const void* bytes = &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr;
  if (text_family == AF_INET6) {
    const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr;
    bytes = &v6;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      // An IPv4 client of an IPv6 socket (RFC 4291 section 2.5.5.2).
      text_family = AF_INET;
      bytes = &v6.s6_addr[12];
    }
  }
  if (::inet_ntop(text_family, bytes, text.data(), text.size()) == nullptr) return {};
  return text.data();
}

std::uint16_t SocketAddress::port() const {
  return ntohs(family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port
                                    : reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
}

std::optional<SocketAddress> parse_socket_address(std::string_view host, std::uint16_t port) {
  const std::string text(host);
  SocketAddress address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage_);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size_ = sizeof(sockaddr_in);
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage_);
  if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size_ = sizeof(sockaddr_in6);
    return address;
  }
  return std::nullopt;
}

std::uint16_t local_port(int fd) {
  SocketAddress address;
  CHECK(::getsockname(fd, address.data(), address.size_to_fill()) == 0);
  return address.port();
}

}  // namespace staithe::net
