#include "gateway/model_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/encoding.h"
#include "gateway/route_table.h"

namespace staithe::gateway {

std::string draw_model(const ServedGateway& gateway, const ServedModel& model,
                       std::string_view extras) {
  const auto created = std::chrono::floor<std::chrono::seconds>(model.created_at);
  return fmt::format(R"({{"id":{},"object":"model","created":{},"owned_by":{}{}}})",
                     json_quote(model.name), created.time_since_epoch().count(),
                     json_quote(gateway.organization), extras);
}

std::string draw_model_list(const ServedGateway& gateway, const ExtrasOf& extras_of,
                            const ServedModel* only) {
  std::vector<const ServedModel*> models;
  for (const auto& [name, model] : gateway.models) {
    if (only == nullptr || only == &model) models.push_back(&model);
  }
  std::sort(models.begin(), models.end(),
            [](const ServedModel* a, const ServedModel* b) { return a->name < b->name; });
  std::string entries;
  for (const ServedModel* model : models) {
    if (!entries.empty()) entries += ',';
    entries += draw_model(gateway, *model, extras_of(*model));
  }
  return fmt::format(R"({{"object":"list","data":[{}]}})", entries);
}

}  // namespace staithe::gateway
