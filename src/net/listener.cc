#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "net/http_server.h"
#include "net/socket_address.h"
#include "net/socket_options.h"

namespace staithe::net {
namespace {

constexpr int backlog = 4096;

Error bad_address(std::string_view text) {
  return Error{.code = Code::invalid_argument,
               .message = fmt::format(
                   "\"{}\" is not HOST:PORT with an IP address or localhost as its host, such as "
                   "127.0.0.1:8080 or [::1]:8080",
                   text)};
}

Error listen_error(const ListenAddress& address, int problem) {
  if (problem == EADDRINUSE) {
    return Error{.code = Code::failed_precondition,
                 .message = fmt::format("port {} of {} is taken by another program; stop it or "
                                        "listen on another port",
                                        address.port, address.host),
                 .reason = "PORT_TAKEN"};
  }
  const bool is_forbidden = problem == EACCES || problem == EPERM;
  return Error{.code = is_forbidden ? Code::permission_denied : Code::failed_precondition,
               .message = fmt::format("cannot listen on port {} of {}: {}", address.port,
                                      address.host, std::strerror(problem))};
}

bool enable(int fd, int option) {
  const int on = 1;
  return ::setsockopt(fd, SOL_SOCKET, option, &on, sizeof on) == 0;
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad_address(text);
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad_address(text);
  }
  std::uint16_t port = 0;
  const auto [end, problem] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (problem != std::errc{} || end != port_text.data() + port_text.size()) {
    return bad_address(text);
  }
  if (host == "localhost") host = "127.0.0.1";
  if (!parse_socket_address(host, port)) return bad_address(text);
  return ListenAddress{.host = std::string(host), .port = port};
}

Result<Listener> bind_to(const ListenAddress& address) {
  std::string_view host = address.host;
  if (host == "localhost") host = "127.0.0.1";
  const auto where = parse_socket_address(host, address.port);
  if (!where) return bad_address(fmt::format("{}:{}", address.host, address.port));

  Listener listener;
  listener.fd.reset(::socket(where->family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = listener.fd.get();
  if (fd < 0 || !enable(fd, SO_REUSEADDR) || !enable(fd, SO_REUSEPORT) ||
      ::bind(fd, where->data(), where->size()) != 0) {
    return listen_error(address, errno);
  }
  set_connection_options(fd);
  listener.port = local_port(fd);
  return listener;
}

Result<void> start_listening(const Listener& listener) {
  if (::listen(listener.fd.get(), backlog) == 0) return {};
  return Error{
      .code = Code::failed_precondition,
      .message = fmt::format("cannot listen on port {}: {}", listener.port, std::strerror(errno))};
}

Result<Listener> listen_on(const ListenAddress& address) {
  TRY_ASSIGN(Listener listener, bind_to(address));
  TRY(start_listening(listener));
  return listener;
}

}  // namespace staithe::net
