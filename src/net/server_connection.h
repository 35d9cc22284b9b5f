#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "net/event_loop.h"
#include "net/exchange.h"
#include "net/head_parser.h"
#include "net/http_server.h"

namespace staithe::net {

// One accepted connection, whatever it speaks.
class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  // Takes a request that has already arrived, finishes what is in progress, then closes.
  virtual void drain() = 0;
  // Closes at once; running exchanges are cancelled.
  virtual void close() = 0;
};

// What a connection needs of its server.
class ServerConnectionOwner {
 public:
  virtual ~ServerConnectionOwner() = default;
  virtual EventLoop& loop() = 0;
  virtual RequestRouter& router() = 0;
  virtual const ServerLimits& limits() const = 0;
  virtual const TlsPolicy& tls_policy() const = 0;
  virtual std::string_view date() = 0;
  virtual bool is_draining() const = 0;
  // Room for the one head that is being read, shared so that its memory is.
  virtual ParsedRequest& request_space() = 0;
  // A TLS handshake of this connection has begun; the id says which one is over. If too many are
  // unfinished, the oldest one's connection is closed.
  virtual std::uint64_t on_handshake_begun(ServerConnection& connection) = 0;
  virtual void on_handshake_over(std::uint64_t handshake) = 0;
  // Calls `go_on` when the work of this handshake may be done, unless it is over before: it is the
  // most that a stranger can make us do, so each turn does only some, and everyone else is served
  // in between.
  virtual void when_handshake_may_go_on(std::uint64_t handshake, std::function<void()> go_on) = 0;
  virtual void on_exchange_opened() = 0;
  virtual void on_exchange_over() = 0;
  // `next` goes on where `connection` leaves off; that one is destroyed after this turn.
  virtual void on_replaced(ServerConnection& connection,
                           std::unique_ptr<ServerConnection> next) = 0;
  // The connection is closed; it is destroyed after this turn.
  virtual void on_closed(ServerConnection& connection) = 0;
};

}  // namespace staithe::net
