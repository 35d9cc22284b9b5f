#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/outgoing_bytes.h"

struct ssl_st;  // OpenSSL's SSL

namespace staithe::net {

struct SslDeleter {
  void operator()(ssl_st* ssl) const;
};
using SslPointer = std::unique_ptr<ssl_st, SslDeleter>;

// One side of one TLS connection (RFC 8446, RFC 5246), as a machine over bytes: what came off the
// socket goes in, what the socket must send comes out, and it never sees the socket. Everything it
// is given it works off at once, so nothing that epoll would not announce waits in it, and sealing
// never has to wait for reading.
class TlsSession {
 public:
  enum class Phase : std::uint8_t {
    handshake,
    open,
    ended,   // the peer has said that it will send nothing more (close_notify)
    broken,  // over; outgoing() may hold the alert that says why
  };
  // What open() may give beyond what it is given: a record that had come in part.
  static constexpr std::size_t surplus_bytes_max = 32 * 1024;

  explicit TlsSession(SslPointer ssl);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // A client's first message. A server waits for one.
  void start() { go_on(); }
  // Takes bytes off the socket and goes on with the handshake. Returns what they hold for us, at
  // the front of `room`, which is longer than `sealed` by surplus_bytes_max.
  std::string_view open(std::string_view sealed, std::span<char> room);
  // Not before the handshake is over.
  void seal(std::string_view plain);
  // Says that we will send nothing more, once; nothing when there is nobody to tell.
  void end();

  Phase phase() const { return phase_; }
  bool is_established() const { return phase_ == Phase::open || phase_ == Phase::ended; }
  OutgoingBytes& outgoing() { return outgoing_; }
  const OutgoingBytes& outgoing() const { return outgoing_; }
  // What ALPN agreed on (RFC 7301); empty if the client named nothing.
  std::string_view protocol() const;
  // Why it is broken, as a phrase; and whether that is the peer's certificate.
  const std::string& problem() const { return problem_; }
  bool is_peer_distrusted() const { return is_peer_distrusted_; }

 private:
  friend struct TlsBytes;

  bool go_on();
  void fail();

  const SslPointer ssl_;
  std::string_view incoming_;  // during open()
  OutgoingBytes outgoing_;
  Phase phase_ = Phase::handshake;
  bool has_said_end_ = false;
  bool is_peer_distrusted_ = false;
  std::string problem_;
};

}  // namespace staithe::net
