#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/event_loop.h"
#include "net/http_message.h"

namespace staithe::net {

struct Endpoint {
  std::string host;  // an IP address
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

// A request of ours. Framing fields and Host are the codec's business: leave them out of `headers`.
// All views are read within HttpClient::start and not kept.
struct ClientRequest {
  std::string_view method;
  std::string_view target;
  std::string_view host;  // value of the Host header; empty: the endpoint's
  HeaderList headers;
  BodyFraming body;  // none, length or chunked
};

struct ClientFailure {
  enum class Kind : std::uint8_t {
    connect_refused,  // or unreachable
    connect_timeout,
    reset,     // closed or reset before the answer was whole
    protocol,  // the peer does not speak HTTP/1.1
    first_byte_timeout,
    idle_timeout,  // between bytes of the answer
  };
  Kind kind;
  // False only when it is certain that no byte of the request reached the peer's kernel: the
  // connection was never made, or a pooled connection turned out dead and TCP acknowledged nothing
  // of the request. Only then may the same request be sent elsewhere.
  bool is_request_delivered = true;
  bool is_answer_started = false;
  std::string message;  // for logs
};

struct ClientTimeouts {
  std::chrono::milliseconds connect{5'000};
  std::chrono::milliseconds first_byte{0};  // 0: no limit
  std::chrono::milliseconds idle{0};        // 0: no limit
};

// Receives one answer. on_end and on_failure come last and only one of them; after it the exchange
// is inert.
class ClientHandler {
 public:
  virtual ~ClientHandler() = default;
  virtual void on_connected() {}  // a new connection was made; not called for a pooled one
  virtual void on_head(const ResponseHead& head) = 0;  // final answers only; 1xx are swallowed
  virtual void on_body(std::string_view bytes) = 0;
  virtual void on_end() = 0;
  virtual void on_failure(const ClientFailure& failure) = 0;
  virtual void on_writable() {}
};

// One request under way. Destroying it before its end cancels: the connection is closed at once,
// which is how an engine learns that nobody waits. Safe to destroy within any callback.
class ClientExchange {
 public:
  virtual ~ClientExchange() = default;
  virtual void send_body(std::string_view bytes) = 0;
  virtual void finish_body() = 0;         // after the last send_body; also for framing `none`
  virtual bool is_congested() const = 0;  // the same marks as net::Exchange
  // Stops and goes on reading the answer.
  virtual void pause() = 0;
  virtual void resume() = 0;
};

// Requests over pooled keep-alive connections, one pool per loop and no locks. A pooled connection
// is watched while idle, so that a close by the peer is noticed; "Keep-Alive: timeout=, max=" of
// the peer is honoured with a margin.
class HttpClient {
 public:
  struct Limits {
    std::size_t idle_connections_per_endpoint_max = 256;
    // Servers close what is idle on a clock of their own, and a request that meets the close is
    // lost. uvicorn does so after 5 s and does not say it (--timeout-keep-alive).
    std::chrono::milliseconds idle_max{4'000};
    // Some close right behind an answer of unknown length without a word (cpp-httplib, when the
    // source of a stream is cut short at its end): only one that stays open for so long is pooled.
    std::chrono::milliseconds settle_after_chunked{100};
    std::size_t head_bytes_max = 64 * 1024;
  };
  HttpClient(EventLoop& loop, Limits limits);
  explicit HttpClient(EventLoop& loop) : HttpClient(loop, Limits{}) {}
  ~HttpClient();

  // Never fails at once: a failure is reported through the handler on a later turn. `handler` must
  // outlive the exchange.
  std::unique_ptr<ClientExchange> start(const Endpoint& endpoint, const ClientRequest& request,
                                        const ClientTimeouts& timeouts, ClientHandler& handler);
  // Closes the idle connections to an endpoint that is gone.
  void forget(const Endpoint& endpoint);
  std::size_t idle_connection_count() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace staithe::net
