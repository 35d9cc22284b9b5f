#include "service/limit_rules.h"

#include <algorithm>

#include "auth/token_record.h"
#include "service/request_checks.h"
#include "service/rules.h"
#include "service/violations.h"

namespace staithe::service {
namespace {

constexpr std::size_t token_id_length_max = 200;
constexpr std::size_t limit_id_length_max = 256;
constexpr int models_max = 100;
constexpr std::size_t model_name_length_max = 256;

// Ids of ours, and "wandb:" with the name of a user or team.
bool is_token_id(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.' || c == ':';
  });
}

void check_models(Violations& violations, const staithe::v1::SetLimitRequest& request) {
  if (request.models_size() == 0) return;
  if (request.token_id().empty()) violations.add("models", "can be set for a token alone");
  if (request.models_size() > models_max) violations.add("models", "must be at most 100");
  for (int i = 0; i < std::min(request.models_size(), models_max); ++i) {
    if (check_text(violations, element("models", i), request.models(i), model_name_length_max) &&
        !rules::is_model_name(request.models(i))) {
      violations.add(element("models", i), "must be the name of a model");
    }
  }
}

}  // namespace

Result<void> validate(const staithe::v1::SetLimitRequest& request) {
  Violations violations;
  if (!request.organization_id().empty() && !auth::is_organization_id(request.organization_id())) {
    violations.add("organizationId", "must be six characters: cw and 4 hexadecimal digits");
  }
  if (!request.token_id().empty() &&
      check_text(violations, "tokenId", request.token_id(), token_id_length_max) &&
      !is_token_id(request.token_id())) {
    violations.add("tokenId", "must be the id of a token, or wandb: and the owner of a key");
  }
  check_models(violations, request);
  return std::move(violations).result();
}

Result<void> check_limit_id(const std::string& id) {
  Violations violations;
  check_text(violations, "id", id, limit_id_length_max);
  return std::move(violations).result();
}

}  // namespace staithe::service
