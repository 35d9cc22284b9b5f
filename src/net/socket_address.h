#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace staithe::net {

// An IPv4 or IPv6 address with a port, as the socket calls take it.
class SocketAddress {
 public:
  sockaddr* data() { return reinterpret_cast<sockaddr*>(&storage_); }
  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }
  // For calls that fill an address in.
  socklen_t* size_to_fill() {
    size_ = sizeof storage_;
    return &size_;
  }
  // The address without its port, as text.
  std::string host() const;
  std::uint16_t port() const;

 private:
  friend std::optional<SocketAddress> parse_socket_address(std::string_view, std::uint16_t);

  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

// Nothing unless `host` is an IP address.
std::optional<SocketAddress> parse_socket_address(std::string_view host, std::uint16_t port);

// The port a bound socket got.
std::uint16_t local_port(int fd);

}  // namespace staithe::net
