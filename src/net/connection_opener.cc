#include "net/connection_opener.h"

#include <algorithm>
#include <utility>

#include "net/client_hello.h"
#include "net/http1_connection.h"
#include "net/http2_connection.h"

namespace staithe::net {
namespace {

constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr Refusal tls_wanted{400, "this port speaks TLS only: use https://"};

}  // namespace

ConnectionOpener::ConnectionOpener(ServerConnectionOwner& owner, UniqueFd fd,
                                   std::string peer_address)
    : owner_(owner),
      transport_(std::make_unique<Transport>(owner.loop(), static_cast<TransportHandler&>(*this))),
      deadline_(owner.loop(), [this] { close(); }),
      peer_address_(std::move(peer_address)) {
  transport_->open(std::move(fd), Transport::Phase::connected);
  transport_->set_interest(Transport::Interest::read);
  const bool is_tls_only = owner_.tls_policy().speech == TlsPolicy::Speech::tls;
  deadline_.set(owner_.loop().now() + (is_tls_only ? owner_.limits().handshake_timeout
                                                   : owner_.limits().keep_alive_timeout));
}

void ConnectionOpener::drain() {
  // A request may have arrived that has not been read: closing now would reset it.
  if (transport_ != nullptr) transport_->read_now();
  if (next_ != nullptr) return next_->drain();
  close();
}

void ConnectionOpener::close() {
  if (transport_ == nullptr || !transport_->is_open()) return;
  transport_->close();
  deadline_.clear();
  end_handshake();
  owner_.on_closed(*this);
}

void ConnectionOpener::begin_tls(std::string_view bytes) {
  if (handshake_ == 0) {
    handshake_ = owner_.on_handshake_begun(*this);
    deadline_.set(owner_.loop().now() + owner_.limits().handshake_timeout);
  }
  switch (look_at_client_hello(bytes)) {
    case ClientHello::incomplete:
      begun_ = bytes;
      return;
    case ClientHello::other:
      return close();
    case ClientHello::complete:
      break;
  }
  begun_ = bytes;
  transport_->set_interest(Transport::Interest::none);
  owner_.when_handshake_may_go_on(handshake_, [this] { start_tls(); });
}

void ConnectionOpener::start_tls() {
  const std::string first_bytes = std::exchange(begun_, {});
  std::unique_ptr<TlsSession> session = owner_.tls_policy().contexts->current()->accept();
  if (session == nullptr) return close();
  transport_->set_interest(Transport::Interest::read);
  transport_->start_tls(std::move(session), first_bytes);
}

void ConnectionOpener::end_handshake() {
  if (handshake_ != 0) owner_.on_handshake_over(std::exchange(handshake_, 0));
}

void ConnectionOpener::on_secured() {
  end_handshake();
  const std::string_view protocol = transport_->tls()->protocol();
  if (protocol == "h2") {
    go_on_as<Http2Connection>();
  } else if (protocol == "http/1.1") {
    go_on_as<Http1Connection>();
  } else {
    deadline_.set(owner_.loop().now() + owner_.limits().keep_alive_timeout);
  }
}

void ConnectionOpener::on_bytes(std::string_view bytes) {
  std::string begun = std::exchange(begun_, {});
  const bool is_first = begun.empty();
  if (!is_first) bytes = begun.append(bytes);
  if (!transport_->is_secure()) {
    const TlsPolicy::Speech speech = owner_.tls_policy().speech;
    if (bytes.front() == tls_handshake_record) {
      return speech == TlsPolicy::Speech::cleartext ? close() : begin_tls(bytes);
    }
    if (speech == TlsPolicy::Speech::tls) {
      return go_on_as<Http1Connection>().turn_away(tls_wanted);
    }
  }
  const auto size = std::min(bytes.size(), http2_preface.size());
  if (bytes.substr(0, size) != http2_preface.substr(0, size)) {
    return go_on_as<Http1Connection>().take_first_bytes(bytes);
  }
  if (size == http2_preface.size()) {
    return go_on_as<Http2Connection>().take_first_bytes(bytes);
  }
  // From its first byte on, however slowly the others drip in.
  if (is_first) deadline_.set(owner_.loop().now() + owner_.limits().head_timeout);
  begun_ = bytes;
}

template <typename Connection>
Connection& ConnectionOpener::go_on_as() {
  deadline_.clear();
  auto connection =
      std::make_unique<Connection>(owner_, std::move(transport_), std::move(peer_address_));
  Connection& next = *connection;
  next_ = &next;
  owner_.on_replaced(*this, std::move(connection));
  return next;
}

}  // namespace staithe::net
