#include "net/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

#include "base/check.h"

namespace staithe::net {

void SslDeleter::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

// OpenSSL's view of a session's bytes, instead of a socket.
struct TlsBytes {
  static TlsSession& self(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* data, std::size_t size, std::size_t* taken) {
    std::string_view& incoming = self(bio).incoming_;
    BIO_clear_retry_flags(bio);
    if (incoming.empty()) {
      BIO_set_retry_read(bio);
      return 0;
    }
    *taken = incoming.copy(data, size);
    incoming.remove_prefix(*taken);
    return 1;
  }
  static int write(BIO* bio, const char* data, std::size_t size, std::size_t* taken) {
    self(bio).outgoing_.back().append(data, size);
    *taken = size;
    return 1;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO_METHOD* make() {
    BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes");
    CHECK(method != nullptr);
    BIO_meth_set_read_ex(method, read);
    BIO_meth_set_write_ex(method, write);
    BIO_meth_set_ctrl(method, control);
    return method;
  }
};

TlsSession::TlsSession(SslPointer ssl) : ssl_(std::move(ssl)) {
  CHECK(ssl_ != nullptr);
  static BIO_METHOD* const method = TlsBytes::make();
  BIO* const bio = BIO_new(method);
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

bool TlsSession::go_on() {
  if (phase_ != Phase::handshake) return is_established();
  ERR_clear_error();
  const int outcome = SSL_do_handshake(ssl_.get());
  if (outcome == 1) {
    phase_ = Phase::open;
  } else if (SSL_get_error(ssl_.get(), outcome) != SSL_ERROR_WANT_READ) {
    fail();
  }
  return phase_ == Phase::open;
}

std::string_view TlsSession::open(std::string_view sealed, std::span<char> room) {
  CHECK(room.size() >= sealed.size() + surplus_bytes_max);
  incoming_ = sealed;
  std::size_t size = 0;
  if (go_on()) {
    while (phase_ == Phase::open) {
      ERR_clear_error();
      std::size_t taken = 0;
      const int outcome = SSL_read_ex(ssl_.get(), room.data() + size, room.size() - size, &taken);
      size += taken;
      if (outcome == 1) continue;
      const int problem = SSL_get_error(ssl_.get(), outcome);
      if (problem == SSL_ERROR_WANT_READ) break;
      problem == SSL_ERROR_ZERO_RETURN ? void(phase_ = Phase::ended) : fail();
    }
  }
  incoming_ = {};
  return {room.data(), size};
}

void TlsSession::seal(std::string_view plain) {
  if (!is_established() || plain.empty()) return;
  ERR_clear_error();
  std::size_t taken = 0;
  const int outcome = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &taken);
  if (outcome != 1 || taken != plain.size()) fail();
}

void TlsSession::end() {
  if (!is_established() || std::exchange(has_said_end_, true)) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

void TlsSession::fail() {
  phase_ = Phase::broken;
  const long verdict = SSL_get_verify_result(ssl_.get());
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  is_peer_distrusted_ = verdict != X509_V_OK;
  if (is_peer_distrusted_) {
    problem_ = X509_verify_cert_error_string(verdict);
  } else {
    problem_ = reason != nullptr ? reason : "the peer does not speak TLS";
  }
  ERR_clear_error();
}

std::string_view TlsSession::protocol() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

}  // namespace staithe::net
