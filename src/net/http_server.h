#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/event_loop.h"
#include "net/exchange.h"
#include "net/tls_context.h"

namespace staithe::net {

struct ServerLimits {
  std::size_t head_bytes_max = 64 * 1024;
  std::size_t connections_max = 65536;
  std::size_t handshakes_max = 1024;                     // of TLS, unfinished at once
  std::uint32_t streams_max = 256;                       // at once on one HTTP/2 connection
  std::chrono::milliseconds handshake_timeout{10'000};   // of TLS, from its first byte on
  std::chrono::milliseconds head_timeout{10'000};        // from first byte of a head to its last
  std::chrono::milliseconds body_timeout{60'000};        // for pace_bytes_min of a request body
  std::chrono::milliseconds keep_alive_timeout{75'000};  // between requests
  // No progress towards a client that does not read; on a stream of HTTP/2, fewer bytes than
  // pace_bytes_min.
  std::chrono::milliseconds write_timeout{300'000};
  // What must come or go within the two timeouts above, unless less is left. In 60 s that is less
  // than 300 bytes a second: no uplink a person uploads with is slower, and a body that drips in
  // so as to hold its connection is given up.
  std::size_t pace_bytes_min = 16 * 1024;
};

// What clients of one listener may speak; their first byte tells which it is.
struct TlsPolicy {
  enum class Speech : std::uint8_t { cleartext, tls, both };
  Speech speech = Speech::cleartext;
  const TlsContextSlot* contexts = nullptr;  // for TLS; outlives the server
};

struct ListenAddress {
  std::string host;  // an IP address or "localhost"
  std::uint16_t port = 0;
};
Result<ListenAddress> parse_listen_address(std::string_view text);  // "127.0.0.1:8080", "[::1]:0"

// A bound, non-blocking socket with SO_REUSEPORT. A taken port is FAILED_PRECONDITION and says so.
struct Listener {
  UniqueFd fd;
  std::uint16_t port = 0;  // the real one
};
// One that takes no connections yet, beside others that may.
Result<Listener> bind_to(const ListenAddress& address);
Result<void> start_listening(const Listener& listener);
// Both.
Result<Listener> listen_on(const ListenAddress& address);

// Accepts connections on one listener and speaks HTTP/1.1 (RFC 9112) or HTTP/2 (RFC 9113, by ALPN
// or with prior knowledge) on them, over TLS or in cleartext, on one loop. Requests that break the
// protocol are answered 400 (or 431, 413, 501, 505) and the connection is closed. One request is in
// progress per HTTP/1.1 connection; pipelined ones wait.
class HttpServer {
 public:
  HttpServer(EventLoop& loop, RequestRouter& router, Listener listener, ServerLimits limits = {},
             TlsPolicy tls_policy = {});
  // Cancels what still runs. Between turns of the loop, every handler is gone afterwards; within a
  // turn, at its end.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Stops accepting, closes idle connections, answers the running requests with "Connection: close"
  // and calls `done` when the last one is over.
  void drain(std::function<void()> done);
  // Ends whatever is still open.
  void close_all();

  std::size_t connection_count() const;
  std::size_t exchange_count() const;
  std::size_t handshake_count() const;  // unfinished ones

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace staithe::net
