#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace staithe::gateway {

struct ServedGateway;
struct ServedModel;

// {"id":…,"object":"model","created":<unix seconds>,"owned_by":<organization>…}, and what `extras`
// has to add, with a comma before each member.
std::string draw_model(const ServedGateway& gateway, const ServedModel& model,
                       std::string_view extras);
// {"object":"list","data":[…]} of everything or of one model, sorted by id.
using ExtrasOf = std::function<std::string_view(const ServedModel&)>;
std::string draw_model_list(const ServedGateway& gateway, const ExtrasOf& extras_of,
                            const ServedModel* only = nullptr);

}  // namespace staithe::gateway
