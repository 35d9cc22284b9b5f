#include "net/port_check.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>

#include "net/socket_address.h"

namespace staithe::net {

Result<void> check_port_is_free(const ListenAddress& address) {
  if (address.port == 0) return {};
  const auto where = parse_socket_address(address.host, address.port);
  if (!where) return {};  // listen_on says what is wrong with it
  // Without SO_REUSEPORT of its own, a socket cannot join those that have it.
  const UniqueFd fd(::socket(where->family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), where->data(), where->size()) == 0 || errno != EADDRINUSE) return {};
  return Error{.code = Code::failed_precondition,
               .message = fmt::format("port {} of {} is taken by another program; stop it or "
                                      "listen on another port",
                                      address.port, address.host),
               .reason = "PORT_TAKEN"};
}

}  // namespace staithe::net
