#include "service/limit_service.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "service/commit.h"
#include "service/errors.h"
#include "service/limit_rules.h"
#include "service/operator_rules.h"

namespace staithe::service {
namespace {

namespace v1 = staithe::v1;
using store::Kind;

model::Limit to_model(const Caller& caller, const v1::SetLimitRequest& request) {
  const std::string& organization = request.organization_id();
  return {.organization_id = organization.empty() ? caller.principal.organization : organization,
          .token_id = request.token_id(),
          .requests_per_minute = request.requests_per_minute(),
          .tokens_per_minute = request.tokens_per_minute(),
          .parallel_requests = request.parallel_requests(),
          .models = {request.models().begin(), request.models().end()}};
}

void to_message(const model::Limit& limit, v1::Limit& message) {
  message.set_id(limit.id());
  message.set_organization_id(limit.organization_id);
  message.set_token_id(limit.token_id);
  message.set_requests_per_minute(limit.requests_per_minute);
  message.set_tokens_per_minute(limit.tokens_per_minute);
  message.set_parallel_requests(limit.parallel_requests);
  message.mutable_models()->Assign(limit.models.begin(), limit.models.end());
}

template <typename Response>
Response answer(const model::Limit& limit) {
  Response response;
  to_message(limit, *response.mutable_limit());
  return response;
}

// Somebody else wrote the same record between our look and our write.
bool is_lost_race(const Error& error) {
  return error.reason == store::reason_version_changed || error.reason == store::reason_id_taken;
}

}  // namespace

Result<LimitService::Stored> LimitService::find(const Caller& caller, const std::string& id) {
  TRY(check_limit_id(id));
  TRY_ASSIGN(auto found, store::get_limit(store_, id));
  const bool is_visible = found && (is_operator(options_, caller) ||
                                    found->value.organization_id == caller.principal.organization);
  if (!is_visible) return errors::not_found(Kind::limit, id);
  return *std::move(found);
}

// What an organization may use is the operator's to say, what its tokens may use its own.
Result<void> LimitService::check_may_set(const Caller& caller, const model::Limit& limit) const {
  if (is_operator(options_, caller)) return {};
  const bool is_own = limit.organization_id == caller.principal.organization;
  const bool is_platforms = limit.token_id.empty() && !options_.operator_organization.empty();
  if (!is_own || is_platforms) return errors::operator_required();
  return {};
}

void LimitService::list(const Caller& caller, const v1::ListLimitsRequest& request,
                        Done<v1::ListLimitsResponse> done) {
  done([&]() -> Result<v1::ListLimitsResponse> {
    TRY_ASSIGN(const std::string organization,
               visible_organization(options_, caller, request.organization_id()));
    TRY_ASSIGN(std::vector<Stored> limits, store::list_limits(store_, organization));
    std::sort(limits.begin(), limits.end(), [](const Stored& left, const Stored& right) {
      return left.value.id() < right.value.id();
    });
    v1::ListLimitsResponse response;
    for (const Stored& limit : limits) to_message(limit.value, *response.add_limits());
    return response;
  }());
}

void LimitService::get(const Caller& caller, const v1::GetLimitRequest& request,
                       Done<v1::GetLimitResponse> done) {
  done([&]() -> Result<v1::GetLimitResponse> {
    TRY_ASSIGN(const Stored limit, find(caller, request.id()));
    return answer<v1::GetLimitResponse>(limit.value);
  }());
}

void LimitService::set(const Caller& caller, const v1::SetLimitRequest& request,
                       Done<v1::SetLimitResponse> done) {
  done([&]() -> Result<v1::SetLimitResponse> {
    TRY(validate(request));
    const model::Limit limit = to_model(caller, request);
    TRY(check_may_set(caller, limit));
    for (int attempt = 0; attempt < commit_attempts_max; ++attempt) {
      TRY_ASSIGN(const auto present, store::get_limit(store_, limit.id()));
      const auto written =
          store_.commit_and_wait({present ? store::Step(store::update_step(limit, present->version))
                                          : store::Step(store::create_step(limit, clock_.now()))});
      if (written) return answer<v1::SetLimitResponse>(limit);
      if (!is_lost_race(written.error())) return written.error();
    }
    return errors::concurrent_change();
  }());
}

void LimitService::remove(const Caller& caller, const v1::DeleteLimitRequest& request,
                          Done<v1::DeleteLimitResponse> done) {
  done([&]() -> Result<v1::DeleteLimitResponse> {
    for (int attempt = 0; attempt < commit_attempts_max; ++attempt) {
      TRY_ASSIGN(const Stored limit, find(caller, request.id()));
      TRY(check_may_set(caller, limit.value));
      const auto written =
          store_.commit_and_wait({store::Remove{Kind::limit, limit.value.id(), limit.version}});
      if (written) return answer<v1::DeleteLimitResponse>(limit.value);
      if (!is_lost_race(written.error())) return written.error();
    }
    return errors::concurrent_change();
  }());
}

}  // namespace staithe::service
