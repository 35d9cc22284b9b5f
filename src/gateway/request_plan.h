#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "gateway/errors.h"
#include "gateway/route_table.h"
#include "net/http_message.h"

namespace staithe::gateway {

struct ListModels {
  const ServedModel* only = nullptr;  // null: all
};
struct ShowModel {
  const ServedModel* model;
};
struct Forward {
  std::string target;                  // path and query for the engine
  const ServedModel* model = nullptr;  // null: the body names it
};

// What a request asks of its gateway, as far as its head tells. A pure function of both.
//
// `target` is the request's path and query below the gateway, undecoded. Doubled slashes and a
// slash at the end are taken out here, so that neither we nor an engine answer with a redirect,
// which clients follow without their body or their key. A path with dot segments is refused: no
// engine should resolve one that we looked at unresolved.
using RequestPlan = std::variant<ApiError, ListModels, ShowModel, Forward>;
RequestPlan plan_request(const ServedGateway& gateway, const net::RequestHead& head,
                         std::string_view target);

// GET /health of a gateway, which needs no token.
bool is_health_check(const net::RequestHead& head, std::string_view target);

// "/gateways/{id}/rest" in two; false when `target` is no such path.
struct PrefixedTarget {
  std::string_view gateway_id;
  std::string_view rest;  // begins with a slash, or is empty or a query
};
bool split_gateway_prefix(std::string_view target, PrefixedTarget& split);

}  // namespace staithe::gateway
