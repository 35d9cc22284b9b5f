#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/loopback_test_kit.h"
#include "net/tls_context.h"

namespace staithe::net::testing {

// A directory of a test's own, gone with it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "staithe-tls-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string file(std::string_view name) const { return (path_ / name).string(); }
  std::string write(std::string_view name, std::string_view text) const {
    std::ofstream(file(name)) << text;
    return file(name);
  }

 private:
  std::filesystem::path path_;
};

// A key and its certificate, signed by itself or by another one.
class Identity {
 public:
  struct Options {
    std::string name = "localhost";
    std::string alternative_names = "DNS:localhost,IP:127.0.0.1";
    long valid_s = 3600;
    bool is_authority = false;
  };

  explicit Identity(const Options& options, const Identity* signer = nullptr)
      : key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    CHECK(key_ != nullptr && certificate_ != nullptr);
    static long last_serial = 0;
    X509* const own = certificate_.get();
    X509_set_version(own, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(own), ++last_serial);
    X509_gmtime_adj(X509_getm_notBefore(own), -3600);
    X509_gmtime_adj(X509_getm_notAfter(own), options.valid_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(own), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(options.name.c_str()), -1, -1,
                               0);
    const Identity& issuer = signer == nullptr ? *this : *signer;
    X509_set_issuer_name(own, X509_get_subject_name(issuer.certificate_.get()));
    X509_set_pubkey(own, key_.get());
    if (options.is_authority) {
      extend(NID_basic_constraints, "critical,CA:TRUE");
    } else {
      extend(NID_subject_alt_name, options.alternative_names);
    }
    CHECK(X509_sign(own, issuer.key_.get(), EVP_sha256()) > 0);
  }

  X509* certificate() const { return certificate_.get(); }
  EVP_PKEY* key() const { return key_.get(); }
  std::string certificate_pem() const {
    return text_of([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
  }
  std::string key_pem() const {
    return text_of([this](BIO* bio) {
      return PEM_write_bio_PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  std::string locked_key_pem(const std::string& passphrase) const {
    return text_of([this, &passphrase](BIO* bio) {
      return PEM_write_bio_PrivateKey(bio, key_.get(), EVP_aes_128_cbc(),
                                      reinterpret_cast<const unsigned char*>(passphrase.data()),
                                      static_cast<int>(passphrase.size()), nullptr, nullptr);
    });
  }
  long serial() const { return ASN1_INTEGER_get(X509_get_serialNumber(certificate_.get())); }

 private:
  struct Free {
    void operator()(X509* object) const { X509_free(object); }
    void operator()(EVP_PKEY* object) const { EVP_PKEY_free(object); }
    void operator()(BIO* object) const { BIO_free(object); }
  };

  void extend(int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate_.get(), certificate_.get(), nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    CHECK(extension != nullptr);
    X509_add_ext(certificate_.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  template <typename Write>
  static std::string text_of(Write write) {
    const std::unique_ptr<BIO, Free> bio(BIO_new(BIO_s_mem()));
    CHECK(write(bio.get()) == 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }

  std::unique_ptr<EVP_PKEY, Free> key_;
  std::unique_ptr<X509, Free> certificate_;
};

// What a TlsPeer does in the handshake.
struct TlsPeerOptions {
  std::vector<std::string> protocols;  // ALPN; none: the extension is left out
  int version_min = TLS1_2_VERSION;
  int version_max = TLS1_3_VERSION;
  const Identity* trusted = nullptr;  // null: whatever the server shows is fine
  const Identity* own = nullptr;      // the client's certificate
  int receive_buffer_bytes = 0;
  SSL_SESSION* session = nullptr;  // of an earlier connection, to be resumed
};

// The far end of a TLS connection: a client of OpenSSL's own over a RawPeer, turned by hand. With
// the calls of a RawPeer, which are about what is inside TLS.
class TlsPeer {
 public:
  using Options = TlsPeerOptions;

  explicit TlsPeer(std::uint16_t port, const Options& options = {})
      : raw_(RawPeer::connect(port, options.receive_buffer_bytes)),
        context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX* const context = context_.get();
    SSL_CTX_set_security_level(context, 0);
    CHECK(SSL_CTX_set_min_proto_version(context, options.version_min) == 1);
    CHECK(SSL_CTX_set_max_proto_version(context, options.version_max) == 1);
    if (options.trusted != nullptr) {
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context), options.trusted->certificate());
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    }
    if (options.own != nullptr) {
      CHECK(SSL_CTX_use_certificate(context, options.own->certificate()) == 1);
      CHECK(SSL_CTX_use_PrivateKey(context, options.own->key()) == 1);
    }
    std::string protocols;
    for (const std::string& name : options.protocols) {
      protocols += static_cast<char>(name.size()) + name;
    }
    SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                            static_cast<unsigned int>(protocols.size()));
    ssl_.reset(SSL_new(context));
    incoming_ = BIO_new(BIO_s_mem());
    outgoing_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), incoming_, outgoing_);
    SSL_set_connect_state(ssl_.get());
    if (options.session != nullptr) CHECK(SSL_set_session(ssl_.get(), options.session) == 1);
  }

  // Sends and reads what it can.
  void poll() {
    poll_without_sending();
    flush();
  }
  void poll_without_sending() {
    feed();
    ERR_clear_error();
    if (!is_established_ && !is_failed_) {
      const int outcome = SSL_do_handshake(ssl_.get());
      is_established_ = outcome == 1;
      if (outcome != 1) note_failure(outcome);
    }
    std::array<char, 16384> room{};
    while (is_established_ && !is_failed_) {
      ERR_clear_error();
      std::size_t size = 0;
      const int outcome = SSL_read_ex(ssl_.get(), room.data(), room.size(), &size);
      if (outcome != 1) {
        note_failure(outcome);
        break;
      }
      received_.append(room.data(), size);
    }
  }
  bool is_established() const { return is_established_; }
  bool is_failed() const { return is_failed_; }
  // The peer has said that it will send nothing more.
  bool has_close_notify() const {
    return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 && !is_failed_;
  }
  const std::string& failure() const { return failure_; }

  void send(std::string_view bytes) { CHECK(send_some(bytes) == bytes.size()); }
  // As much as goes out without a heap of it waiting.
  std::size_t send_some(std::string_view bytes) {
    std::size_t sent = 0;
    while (is_established_ && sent < bytes.size() && flush()) {
      std::size_t taken = 0;
      ERR_clear_error();
      if (SSL_write_ex(ssl_.get(), bytes.data() + sent,
                       std::min<std::size_t>(bytes.size() - sent, 16384), &taken) != 1) {
        break;
      }
      sent += taken;
    }
    flush();
    return sent;
  }
  const std::string& received() {
    poll();
    return received_;
  }
  void forget_received() { received_.clear(); }
  bool has_received(std::string_view text) { return received().find(text) != std::string::npos; }
  bool is_gone() {
    poll();
    return raw_.is_gone();
  }
  // Ends TLS and leaves the connection below as it is.
  void send_close_notify() {
    SSL_shutdown(ssl_.get());
    flush();
  }
  void ask_for_new_keys() {
    CHECK(SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1);
    SSL_do_handshake(ssl_.get());
    flush();
  }
  RawPeer& raw() { return raw_; }
  SSL* ssl() { return ssl_.get(); }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  std::string version() const { return SSL_get_version(ssl_.get()); }
  long server_serial() const {
    X509* const shown = SSL_get0_peer_certificate(ssl_.get());
    return shown == nullptr ? 0 : ASN1_INTEGER_get(X509_get0_serialNumber(shown));
  }
  // The client's first message, which a test sends as it likes.
  std::string take_first_flight() {
    SSL_do_handshake(ssl_.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(outgoing_, &data);
    std::string flight(data, static_cast<std::size_t>(size));
    BIO_reset(outgoing_);
    return flight;
  }

 private:
  struct Free {
    void operator()(SSL* object) const { SSL_free(object); }
    void operator()(SSL_CTX* object) const { SSL_CTX_free(object); }
  };

  void feed() {
    const std::string& sealed = raw_.received();
    if (!sealed.empty()) {
      CHECK(BIO_write(incoming_, sealed.data(), static_cast<int>(sealed.size())) ==
            static_cast<int>(sealed.size()));
    }
    raw_.forget_received();
  }
  // True when nothing is left to be sent.
  bool flush() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(outgoing_, &data);
    unsent_.append(data, static_cast<std::size_t>(size));
    BIO_reset(outgoing_);
    unsent_.erase(0, raw_.send_some(unsent_));
    return unsent_.empty();
  }
  void note_failure(int outcome) {
    const int problem = SSL_get_error(ssl_.get(), outcome);
    if (problem != SSL_ERROR_SSL) return;
    is_failed_ = true;
    failure_ = ERR_reason_error_string(ERR_peek_last_error());
  }

  RawPeer raw_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  BIO* incoming_ = nullptr;  // both of ssl_
  BIO* outgoing_ = nullptr;
  std::string unsent_;
  std::string received_;
  std::string failure_;
  bool is_established_ = false;
  bool is_failed_ = false;
};

}  // namespace staithe::net::testing
