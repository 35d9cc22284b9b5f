#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "net/tls_session.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace staithe::net {

struct SslContextDeleter {
  void operator()(ssl_ctx_st* context) const;
};
using SslContextPointer = std::unique_ptr<ssl_ctx_st, SslContextDeleter>;

enum class ClientCertificates : std::uint8_t {
  none,      // are not asked for
  optional,  // are asked for; a bad one ends the handshake, none does not
  required,
};

// PEM files.
struct TlsFiles {
  std::string certificate;  // ours first, then those that lead to its root
  std::string key;
  std::string client_ca;  // whose certificates clients may show; empty if none are asked for
  ClientCertificates client_certificates = ClientCertificates::none;
};

// What a server's TLS sessions have in common: certificate, key and rules. Any thread.
//
// TLS 1.2 and 1.3; of 1.2 only the suites that HTTP/2 allows (RFC 9113 section 9.2.2). Sessions are
// resumed by tickets, so that the server remembers nothing; nothing is compressed, nothing is
// renegotiated. ALPN prefers h2 to http/1.1; a client that names neither is refused (RFC 7301
// section 3.2), one without ALPN is not.
class TlsContext {
 public:
  // An error names the file and what to do, and holds nothing of what is in it.
  static Result<std::shared_ptr<const TlsContext>> load(const TlsFiles& files);

  // load() is how one is made.
  TlsContext(SslContextPointer context, Timestamp expires_at)
      : context_(std::move(context)), expires_at_(expires_at) {}

  // The server's side of a new connection; null when there is no memory.
  std::unique_ptr<TlsSession> accept() const;
  // When our own certificate ends to be valid.
  Timestamp expires_at() const { return expires_at_; }

 private:
  const SslContextPointer context_;
  const Timestamp expires_at_;
};

// The context that new connections get. Set on one thread, read on others; a connection keeps the
// one it began with.
class TlsContextSlot {
 public:
  explicit TlsContextSlot(std::shared_ptr<const TlsContext> context)
      : context_(std::move(context)) {}

  std::shared_ptr<const TlsContext> current() const {
    const std::lock_guard lock(mutex_);
    return context_;
  }
  void set(std::shared_ptr<const TlsContext> context) {
    const std::lock_guard lock(mutex_);
    context_.swap(context);
  }

 private:
  mutable std::mutex mutex_;  // guards context_
  std::shared_ptr<const TlsContext> context_;
};

// What a client trusts. Any thread.
class TlsClientContext {
 public:
  // The authorities in a PEM file, or the system's if it is empty.
  static Result<std::shared_ptr<const TlsClientContext>> load(const std::string& ca_file);

  // load() is how one is made.
  explicit TlsClientContext(SslContextPointer context) : context_(std::move(context)) {}

  // The client's side of a connection to `host`, an IP address or a name that the server's
  // certificate must be made out to. Null when there is no memory.
  std::unique_ptr<TlsSession> connect(const std::string& host) const;

 private:
  const SslContextPointer context_;
};

}  // namespace staithe::net
