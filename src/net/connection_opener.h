#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "net/deadline.h"
#include "net/server_connection.h"
#include "net/transport.h"

namespace staithe::net {

// A connection whose protocol is not known yet. Its first bytes tell: the preface of HTTP/2 with
// prior knowledge (RFC 9113 section 3.3), or else HTTP/1.1, and the connection of that protocol
// takes its place.
class ConnectionOpener final : public ServerConnection, private TransportHandler {
 public:
  ConnectionOpener(ServerConnectionOwner& owner, UniqueFd fd, std::string peer_address);

  // ServerConnection
  void drain() override;
  void close() override;

 private:
  // TransportHandler
  void on_bytes(std::string_view bytes) override;
  void on_read_end() override { close(); }
  void on_broken(int) override { close(); }
  void on_hang_up() override { close(); }
  void on_flushed() override {}
  void on_writable() override {}

  template <typename Connection>
  void go_on_as(std::string_view first_bytes);

  ServerConnectionOwner& owner_;
  std::unique_ptr<Transport> transport_;  // until it is handed on
  Deadline deadline_;
  std::string peer_address_;
  std::string begun_preface_;
  ServerConnection* next_ = nullptr;  // within the turn that made it
};

}  // namespace staithe::net
