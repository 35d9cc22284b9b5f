#include "net/connection_opener.h"

#include <algorithm>
#include <utility>

#include "net/http1_connection.h"
#include "net/http2_connection.h"

namespace staithe::net {
namespace {

constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

ConnectionOpener::ConnectionOpener(ServerConnectionOwner& owner, UniqueFd fd,
                                   std::string peer_address)
    : owner_(owner),
      transport_(std::make_unique<Transport>(owner.loop(), static_cast<TransportHandler&>(*this))),
      deadline_(owner.loop(), [this] { close(); }),
      peer_address_(std::move(peer_address)) {
  transport_->open(std::move(fd), Transport::Phase::connected);
  transport_->set_interest(Transport::Interest::read);
  deadline_.set(owner_.loop().now() + owner_.limits().keep_alive_timeout);
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
  owner_.on_closed(*this);
}

void ConnectionOpener::on_bytes(std::string_view bytes) {
  std::string begun;
  if (!begun_preface_.empty()) {
    begun = std::move(begun_preface_) + std::string(bytes);
    bytes = begun;
  }
  const auto size = std::min(bytes.size(), http2_preface.size());
  if (bytes.substr(0, size) != http2_preface.substr(0, size)) {
    return go_on_as<Http1Connection>(bytes);
  }
  if (size == http2_preface.size()) return go_on_as<Http2Connection>(bytes);
  // From its first byte on, however slowly the others drip in.
  if (begun.empty()) deadline_.set(owner_.loop().now() + owner_.limits().head_timeout);
  begun_preface_ = bytes;
}

template <typename Connection>
void ConnectionOpener::go_on_as(std::string_view first_bytes) {
  deadline_.clear();
  auto connection =
      std::make_unique<Connection>(owner_, std::move(transport_), std::move(peer_address_));
  Connection& next = *connection;
  next_ = &next;
  owner_.on_replaced(*this, std::move(connection));
  next.take_first_bytes(first_bytes);
}

}  // namespace staithe::net
