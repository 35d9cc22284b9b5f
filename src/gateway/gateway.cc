#include "gateway/gateway.h"

#include <algorithm>
#include <vector>

#include "gateway/proxy_exchange.h"
#include "gateway/request_plan.h"

namespace staithe::gateway {

Gateway::Gateway(net::EventLoop& loop, const Clock& clock, Random& random,
                 const auth::TokenTable& tokens, RouteTableSlot& routes, Metrics& metrics,
                 const Log& log, const Options& options)
    : clock_(clock),
      random_(random),
      tokens_(tokens),
      routes_(routes),
      log_(log),
      options_(options),
      client_(loop),
      chooser_(routes.affinity(), options.choose),
      reader_(routes, loop, [this](const RouteTable& table) { take_routes(table); }),
      hints_poller_(loop, client_, reader_, options.engine_metrics_interval),
      model_cards_(loop, client_, reader_, options.model_cards_interval),
      phases_(loop, metrics),
      access_log_(loop, log) {
  if (options_.usage != nullptr) usage_.emplace(*options_.usage);
}

void Gateway::take_routes(const RouteTable& table) {
  // Connections to replicas that are gone serve nobody.
  for (const net::Endpoint& endpoint : table.endpoints_gone()) client_.forget(endpoint);
  // Who is sent, answered or queued elsewhere leaves the set, but lives on until this turn is over.
  const std::vector<ProxyExchange*> waiting(waiting_.begin(), waiting_.end());
  std::set<DeploymentQueue*> with_room;
  for (ProxyExchange* exchange : waiting) {
    DeploymentQueue* const queue = exchange->follow_routes();
    if (queue != nullptr) with_room.insert(queue);
  }
  for (DeploymentQueue* queue : with_room) queue->call_next();
}

bool Gateway::claims(const net::RequestHead& head) const {
  return is_for_data_plane(*reader_.table(), head);
}

std::unique_ptr<net::ExchangeHandler> Gateway::on_request(const net::RequestHead& head,
                                                          net::Exchange& exchange) {
  return std::make_unique<ProxyExchange>(*this, head, exchange);
}

}  // namespace staithe::gateway
