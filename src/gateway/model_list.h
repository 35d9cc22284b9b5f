#pragma once

#include <string>

namespace staithe::gateway {

struct ServedGateway;
struct ServedModel;

// {"id":…,"object":"model","created":<unix seconds>,"owned_by":<organization>}
std::string draw_model(const ServedGateway& gateway, const ServedModel& model);
// {"object":"list","data":[…]}, sorted by id.
std::string draw_model_list(const ServedGateway& gateway);
// The same with one model in it.
std::string draw_model_list(const ServedGateway& gateway, const ServedModel& model);

}  // namespace staithe::gateway
