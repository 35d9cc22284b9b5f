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

// The gateway that a request is for, and the part of its target below the gateway.
struct Located {
  const ServedGateway* gateway = nullptr;  // null: there is none
  std::string_view target;                 // begins with a slash, or is empty or a query
};
// By a path /gateways/{id}/..., which every host serves, or by the Host header.
Located locate(const RouteTable& table, const net::RequestHead& head);

// Whether a request is the data plane's to answer, be it with 404.
bool is_for_data_plane(const RouteTable& table, const net::RequestHead& head);

}  // namespace staithe::gateway
