#pragma once

#include <memory>
#include <set>
#include <string_view>

#include "auth/token_table.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "gateway/access_log.h"
#include "gateway/body_peek.h"
#include "gateway/choose.h"
#include "gateway/hints_poller.h"
#include "gateway/model_cards.h"
#include "gateway/options.h"
#include "gateway/phase_book.h"
#include "gateway/route_table_slot.h"
#include "gateway/usage_table.h"
#include "net/exchange.h"
#include "net/http_client.h"

namespace staithe::gateway {

class ProxyExchange;

// The data plane of one event loop: its own pool of upstream connections and its own copy of the
// route table. Takes every request below /gateways/{id} and every one for a gateway's host name.
// Never waits for the store; it could not if it wanted to.
class Gateway final : public net::RequestRouter {
 public:
  Gateway(net::EventLoop& loop, const Clock& clock, Random& random, const auth::TokenTable& tokens,
          RouteTableSlot& routes, Metrics& metrics, const Log& log, const Options& options);

  bool claims(const net::RequestHead& head) const;
  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override;

 private:
  friend class ProxyExchange;

  void take_routes(const RouteTable& table);

  const Clock& clock_;
  Random& random_;
  const auth::TokenTable& tokens_;
  RouteTableSlot& routes_;
  const Log& log_;
  const Options options_;
  net::HttpClient client_;
  JsonPeek json_peek_;
  ReplicaChooser chooser_;
  RouteTableReader reader_;
  std::set<ProxyExchange*> waiting_;  // those in a queue
  std::optional<UsageTable> usage_;   // nothing: not counted
  HintsPoller hints_poller_;
  ModelCards model_cards_;
  PhaseBook phases_;
  AccessLog access_log_;
};

}  // namespace staithe::gateway
