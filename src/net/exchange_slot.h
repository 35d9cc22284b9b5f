#pragma once

#include <memory>
#include <utility>

#include "base/check.h"
#include "net/server_connection.h"

namespace staithe::net {

// Where a connection keeps the handler of an exchange, and whether the exchange is open: from
// before the router is asked for the handler until the exchange is finished, aborted or cancelled.
class ExchangeSlot {
 public:
  explicit ExchangeSlot(ServerConnectionOwner& owner) : owner_(owner) {}

  bool is_open() const { return is_open_; }
  ExchangeHandler* operator->() const { return handler_.get(); }

  void open() {
    CHECK(!is_open_);
    is_open_ = true;
    is_cancelled_ = false;
    owner_.on_exchange_opened();
  }
  // The router's answer. False if the exchange was over before the router returned.
  bool adopt(std::unique_ptr<ExchangeHandler> handler) {
    if (is_open_) {
      CHECK(handler != nullptr);
      handler_ = std::move(handler);
      return true;
    }
    if (is_cancelled_ && handler != nullptr) handler->on_cancelled();
    owner_.loop().destroy_later(std::move(handler));
    return false;
  }
  // The handler itself has ended the exchange.
  void end() {
    is_open_ = false;
    owner_.loop().destroy_later(std::move(handler_));
    owner_.on_exchange_over();
  }
  // The client is gone, or has to be treated so. False if there was nothing to cancel.
  bool cancel() {
    if (!is_open_) return false;
    is_open_ = false;
    is_cancelled_ = true;
    owner_.on_exchange_over();
    if (handler_ == nullptr) return true;  // the router has yet to return it
    std::unique_ptr<ExchangeHandler> handler = std::move(handler_);
    handler->on_cancelled();
    owner_.loop().destroy_later(std::move(handler));
    return true;
  }

 private:
  ServerConnectionOwner& owner_;
  std::unique_ptr<ExchangeHandler> handler_;
  bool is_open_ = false;
  bool is_cancelled_ = false;
};

}  // namespace staithe::net
