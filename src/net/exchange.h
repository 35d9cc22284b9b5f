#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "net/event_loop.h"
#include "net/http_message.h"
#include "net/water_marks.h"

namespace staithe::net {

// The head of an answer of ours. Framing fields (Content-Length, Transfer-Encoding, Connection,
// Date) are the codec's business: leave them out of `headers`.
struct AnswerHead {
  std::uint16_t status = 200;
  HeaderList headers;
  std::optional<std::uint64_t> content_length;  // absent: chunked (or HTTP/2 DATA) until finish()
  bool has_body = true;  // false: the head is all of the answer, and HTTP/2 says so with the head
};

// The server's side of one request, whichever HTTP version carries it. One loop thread. Valid until
// its handler is destroyed; once the exchange is over, calls do nothing.
//
// Bytes given to send_* are gathered and written once at the end of the loop turn; what the socket
// does not take is kept. Above `high_water_bytes` of kept bytes is_congested() turns true and
// on_writable() is called once below `low_water_bytes`: the handler stops feeding in between.
class Exchange {
 public:
  static constexpr std::size_t high_water_bytes = net::high_water_bytes;
  static constexpr std::size_t low_water_bytes = net::low_water_bytes;

  virtual ~Exchange() = default;

  virtual void send_head(const AnswerHead& head) = 0;  // once
  virtual void send_body(std::string_view bytes) = 0;  // copied if need be
  // The proper end of the answer. The handler is destroyed after this turn.
  void finish() { finish_with({}); }
  // The same, with trailer fields. Where there is no room for them (HTTP/1.1 has some only after a
  // chunked body) they are left out.
  virtual void finish_with(const HeaderList& trailers) = 0;
  // An end that the client can tell from a proper one: HTTP/1.1 closes without the last chunk (or
  // short of Content-Length), HTTP/2 resets the stream. Bytes already given are written first. The
  // handler is destroyed after this turn.
  virtual void abort() = 0;

  virtual bool is_congested() const = 0;
  virtual std::size_t unsent_bytes() const = 0;

  // Stops and goes on delivering the request's body.
  virtual void pause_body() = 0;
  virtual void resume_body() = 0;

  virtual std::string_view peer_address() const = 0;  // IP address as text, no port
  virtual bool is_secure() const = 0;                 // the request came over TLS
  virtual EventLoop& loop() = 0;
};

// Receives one request. Owned by its connection; destroyed after finish(), abort() or
// on_cancelled().
class ExchangeHandler {
 public:
  virtual ~ExchangeHandler() = default;
  virtual void on_body(std::string_view bytes) = 0;
  virtual void on_request_end() = 0;
  virtual void on_writable() {}
  // The client hung up or broke the protocol. The exchange is over; nothing can be sent any more.
  // On HTTP/1.1 a client that only shuts its sending side down counts as gone, too, because close()
  // looks the same; it is still answered if the answer is given as its request ends.
  virtual void on_cancelled() = 0;
};

// Chooses who answers a request. Called once the head is read; views in `head` die with the call.
// Null may be returned only if the exchange was finished or aborted within the call.
// If a client waits for "100 Continue", the server sends it when the handler first lets body bytes
// in, that is unless the handler has answered or paused the body within this call.
class RequestRouter {
 public:
  virtual ~RequestRouter() = default;
  virtual std::unique_ptr<ExchangeHandler> on_request(const RequestHead& head,
                                                      Exchange& exchange) = 0;
};

}  // namespace staithe::net
