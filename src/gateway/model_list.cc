#include "gateway/model_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/encoding.h"
#include "gateway/route_table.h"

namespace staithe::gateway {

std::string draw_model(const ServedGateway& gateway, const ServedModel& model) {
  const auto created = std::chrono::floor<std::chrono::seconds>(model.created_at);
  return fmt::format(R"({{"id":{},"object":"model","created":{},"owned_by":{}}})",
                     json_quote(model.name), created.time_since_epoch().count(),
                     json_quote(gateway.organization));
}

std::string draw_model_list(const ServedGateway& gateway) {
  std::vector<const ServedModel*> models;
  for (const auto& [name, model] : gateway.models) models.push_back(&model);
  std::sort(models.begin(), models.end(),
            [](const ServedModel* a, const ServedModel* b) { return a->name < b->name; });
  std::string entries;
  for (const ServedModel* model : models) {
    if (!entries.empty()) entries += ',';
    entries += draw_model(gateway, *model);
  }
  return fmt::format(R"({{"object":"list","data":[{}]}})", entries);
}

std::string draw_model_list(const ServedGateway& gateway, const ServedModel& model) {
  return fmt::format(R"({{"object":"list","data":[{}]}})", draw_model(gateway, model));
}

}  // namespace staithe::gateway
