#include "net/tls_context.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/unique_fd.h"

namespace staithe::net {
namespace {

// Of TLS 1.2: forward secrecy and an AEAD. TLS 1.3 has nothing else.
constexpr const char* tls12_suites = "ECDHE+AESGCM:ECDHE+CHACHA20";
// OpenSSL makes room for a chain as soon as it is announced.
constexpr long client_chain_bytes_max = 32 * 1024;
constexpr std::size_t file_bytes_max = 1024 * 1024;  // of every authority there is are fewer
constexpr unsigned char server_protocols[] = "\x02h2\x08http/1.1";
constexpr unsigned char client_protocols[] = "\x08http/1.1";

template <auto free_function>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    free_function(object);
  }
};
using BioPointer = std::unique_ptr<BIO, Freer<BIO_free>>;
using CertificatePointer = std::unique_ptr<X509, Freer<X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;

// A file's text, wiped when it goes, for it may be a key.
class FileText {
 public:
  static Result<FileText> read(const std::string& path, std::string_view what) {
    const auto unreadable = [&](std::string_view why) {
      return Error{.code = Code::invalid_argument,
                   .message = fmt::format("cannot read the {} {}: {}", what, path, why)};
    };
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.is_open()) return unreadable(std::strerror(errno));
    FileText file;
    file.text_.resize(file_bytes_max);
    std::size_t size = 0;
    while (size < file_bytes_max) {
      const ssize_t taken = ::read(fd.get(), file.text_.data() + size, file_bytes_max - size);
      if (taken < 0 && errno == EINTR) continue;
      if (taken < 0) return unreadable(std::strerror(errno));
      if (taken == 0) break;
      size += static_cast<std::size_t>(taken);
    }
    if (size == 0) return unreadable("it is empty");
    if (size == file_bytes_max) return unreadable("it is too large for a PEM file");
    file.text_.resize(size);
    return file;
  }
  FileText(FileText&& other) noexcept : text_(std::move(other.text_)) {}
  FileText& operator=(FileText&&) = delete;
  ~FileText() { OPENSSL_cleanse(text_.data(), text_.size()); }

  BioPointer bio() const {
    return BioPointer(BIO_new_mem_buf(text_.data(), static_cast<int>(text_.size())));
  }

 private:
  FileText() = default;
  std::string text_;
};

Error bad_file(std::string_view what, const std::string& path, std::string_view why) {
  return Error{.code = Code::invalid_argument,
               .message = fmt::format("the {} {} {}", what, path, why)};
}

// OpenSSL's own word for what went wrong last. It speaks of kinds of trouble, never of contents.
std::string last_reason() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown reason";
}

Result<CertificatePointer> use_chain(SSL_CTX* context, const std::string& path) {
  constexpr std::string_view what = "certificate file";
  TRY_ASSIGN(const FileText text, FileText::read(path, what));
  const BioPointer bio = text.bio();
  CertificatePointer own(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
  if (own == nullptr) {
    return bad_file(what, path,
                    "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----); give the "
                    "server's certificate followed by its intermediates");
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return bad_file(what, path,
                    fmt::format("cannot be used: {}; make a new certificate", last_reason()));
  }
  while (true) {
    const CertificatePointer next(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (next == nullptr) break;
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) {
      return bad_file(what, path,
                      fmt::format("holds a chain that cannot be used: {}", last_reason()));
    }
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return bad_file(what, path, "is damaged after its first certificate; write it again");
  }
  ERR_clear_error();
  return own;
}

Result<void> use_key(SSL_CTX* context, const TlsFiles& files) {
  constexpr std::string_view what = "key file";
  TRY_ASSIGN(const FileText text, FileText::read(files.key, what));
  bool is_passphrase_asked = false;
  const auto refuse_passphrase = [](char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
  };
  const KeyPointer key(
      PEM_read_bio_PrivateKey(text.bio().get(), nullptr, refuse_passphrase, &is_passphrase_asked));
  if (is_passphrase_asked) {
    return bad_file(what, files.key,
                    "is locked with a passphrase, and nobody is there to type it; give one "
                    "without (openssl pkey -in FILE -out NEW)");
  }
  if (key == nullptr) {
    return bad_file(what, files.key,
                    "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----); give the key "
                    "that the certificate was made for");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return bad_file(what, files.key,
                    fmt::format("does not belong to the certificate {}; give the two files that "
                                "were made together",
                                files.certificate));
  }
  return {};
}

Result<void> verify_clients(SSL_CTX* context, const TlsFiles& files) {
  if (files.client_certificates == ClientCertificates::none) return {};
  constexpr std::string_view what = "client CA file";
  TRY_ASSIGN(const FileText text, FileText::read(files.client_ca, what));
  const BioPointer bio = text.bio();
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  std::size_t count = 0;
  while (true) {
    const CertificatePointer authority(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (authority == nullptr) break;
    if (X509_STORE_add_cert(store, authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return bad_file(what, files.client_ca, fmt::format("cannot be used: {}", last_reason()));
    }
    ++count;
  }
  ERR_clear_error();
  if (count == 0) {
    return bad_file(what, files.client_ca,
                    "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----); give those of "
                    "the authorities whose clients may come in");
  }
  SSL_CTX_set_max_cert_list(context, client_chain_bytes_max);
  const bool is_required = files.client_certificates == ClientCertificates::required;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (is_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  return {};
}

int select_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* found = nullptr;
  const int outcome = SSL_select_next_proto(&found, chosen_size, server_protocols,
                                            sizeof server_protocols - 1, offered, offered_size);
  if (outcome != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

SslContextPointer new_context(const SSL_METHOD* method) {
  ERR_clear_error();
  SslContextPointer context(SSL_CTX_new(method));
  CHECK(context != nullptr);
  SSL_CTX* const raw = context.get();
  CHECK(SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION) == 1);
  CHECK(SSL_CTX_set_cipher_list(raw, tls12_suites) == 1);
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  // An idle session holds no record buffers. Writes are never partial, because what OpenSSL writes
  // to takes everything (see TlsSession).
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  return context;
}

Timestamp end_of(const X509* certificate) {
  std::tm when{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1) return Timestamp::max();
  return Timestamp{std::chrono::seconds{::timegm(&when)}};
}

bool is_ip_address(const std::string& host) {
  in6_addr room{};
  return ::inet_pton(AF_INET, host.c_str(), &room) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &room) == 1;
}

}  // namespace

void SslContextDeleter::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsFiles& files) {
  SslContextPointer context = new_context(TLS_server_method());
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_alpn_select_cb(raw, select_protocol, nullptr);
  // Without a name of their own, sessions of clients with certificates could not be resumed.
  constexpr std::string_view resumption_name = "staithe";
  CHECK(SSL_CTX_set_session_id_context(
            raw, reinterpret_cast<const unsigned char*>(resumption_name.data()),
            static_cast<unsigned int>(resumption_name.size())) == 1);
  TRY_ASSIGN(const CertificatePointer own, use_chain(raw, files.certificate));
  TRY(use_key(raw, files));
  TRY(verify_clients(raw, files));
  return std::make_shared<const TlsContext>(std::move(context), end_of(own.get()));
}

std::unique_ptr<TlsSession> TlsContext::accept() const {
  SslPointer ssl(SSL_new(context_.get()));
  if (ssl == nullptr) return nullptr;
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsSession>(std::move(ssl));
}

Result<std::shared_ptr<const TlsClientContext>> TlsClientContext::load(const std::string& ca_file) {
  SslContextPointer context = new_context(TLS_client_method());
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  CHECK(SSL_CTX_set_alpn_protos(raw, client_protocols, sizeof client_protocols - 1) == 0);
  if (ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(raw);
  } else {
    TRY(FileText::read(ca_file, "CA file"));
    if (SSL_CTX_load_verify_file(raw, ca_file.c_str()) != 1) {
      ERR_clear_error();
      return bad_file("CA file", ca_file,
                      "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
    }
  }
  return std::make_shared<const TlsClientContext>(std::move(context));
}

std::unique_ptr<TlsSession> TlsClientContext::connect(const std::string& host) const {
  SslPointer ssl(SSL_new(context_.get()));
  if (ssl == nullptr) return nullptr;
  SSL_set_connect_state(ssl.get());
  if (is_ip_address(host)) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str()) != 1) return nullptr;
  } else if (SSL_set1_host(ssl.get(), host.c_str()) != 1 ||
             SSL_set_tlsext_host_name(ssl.get(), host.c_str()) != 1) {
    return nullptr;
  }
  return std::make_unique<TlsSession>(std::move(ssl));
}

}  // namespace staithe::net
