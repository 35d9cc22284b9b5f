#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "net/deadline.h"
#include "net/server_connection.h"
#include "net/transport.h"

namespace staithe::net {

// A connection whose protocol is not known yet. Its first byte tells TLS from cleartext, as far as
// the listener lets it choose. Over TLS, ALPN tells what is spoken; otherwise, and in cleartext, it
// is the first bytes: the preface of HTTP/2 with prior knowledge (RFC 9113 section 3.3), or else
// HTTP/1.1. The connection of that protocol takes the place of this one.
//
// From its first byte on a handshake has a deadline, and a place among those its server allows at
// once. TLS is made for it when its first record is there and looks sane: a client that sends less
// costs what it sends.
class ConnectionOpener final : public ServerConnection, private TransportHandler {
 public:
  ConnectionOpener(ServerConnectionOwner& owner, UniqueFd fd, std::string peer_address);

  // ServerConnection
  void drain() override;
  void close() override;

 private:
  // TransportHandler
  void on_secured() override;
  void on_bytes(std::string_view bytes) override;
  void on_read_end() override { close(); }
  void on_broken(int) override { close(); }
  void on_hang_up() override { close(); }
  void on_flushed() override {}
  void on_writable() override {}

  void begin_tls(std::string_view bytes);
  void start_tls();
  void end_handshake();
  template <typename Connection>
  Connection& go_on_as();

  ServerConnectionOwner& owner_;
  std::unique_ptr<Transport> transport_;  // until it is handed on
  Deadline deadline_;
  std::string peer_address_;
  std::string begun_;                 // a preface, or a ClientHello
  std::uint64_t handshake_ = 0;       // 0: none
  ServerConnection* next_ = nullptr;  // within the turn that made it
};

}  // namespace staithe::net
