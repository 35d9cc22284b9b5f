#include "service/usage_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "service/convert.h"
#include "service/errors.h"
#include "service/operator_rules.h"
#include "service/request_checks.h"
#include "service/violations.h"

namespace staithe::service {
namespace {

namespace v1 = staithe::v1;

// Far from every hour there is usage of.
constexpr Timestamp no_begin{std::chrono::seconds{0}};
constexpr Timestamp no_end{std::chrono::seconds{253'402'300'799}};  // the year 9999

void add_grouping(Violations& violations, const v1::ListUsageRequest& request,
                  store::UsageQuery& query) {
  for (int i = 0; i < request.group_by_size(); ++i) {
    switch (request.group_by(i)) {
      case v1::USAGE_GROUPING_ORGANIZATION:
        query.is_by_organization = true;
        break;
      case v1::USAGE_GROUPING_TOKEN:
        query.is_by_token = true;
        break;
      case v1::USAGE_GROUPING_DEPLOYMENT:
        query.is_by_deployment = true;
        break;
      case v1::USAGE_GROUPING_MODEL:
        query.is_by_model = true;
        break;
      case v1::USAGE_GROUPING_HOUR:
        query.period = std::chrono::hours{1};
        break;
      case v1::USAGE_GROUPING_DAY:
        // An hour says its day as well.
        if (query.period.count() == 0) query.period = std::chrono::days{1};
        break;
      default:
        violations.add(element("groupBy", i), "must name what sums are kept apart by");
    }
  }
}

Result<store::UsageQuery> read_query(const v1::ListUsageRequest& request) {
  Violations violations;
  store::UsageQuery query{.from = no_begin, .to = no_end};
  if (request.has_since()) {
    query.from = read_timestamp(violations, "since", request.since()).value_or(no_begin);
  }
  if (request.has_until()) {
    query.to = read_timestamp(violations, "until", request.until()).value_or(no_end);
  }
  check_optional_id(violations, "deploymentId", request.deployment_id());
  add_grouping(violations, request, query);
  TRY(std::move(violations).result());
  query.token_id = request.token_id();
  query.deployment_id = to_lower(request.deployment_id());
  query.model = request.model();
  return query;
}

void to_message(const store::UsageRow& row, bool has_period, v1::Usage& message) {
  if (has_period) set_time(row.hour, *message.mutable_period_start());
  message.set_organization_id(row.organization);
  message.set_token_id(row.token_id);
  message.set_deployment_id(row.deployment_id);
  message.set_model(row.model);
  message.set_requests(row.requests);
  message.set_aborted(row.aborted);
  message.set_failed(row.failed);
  message.set_estimated(row.estimated);
  message.set_prompt_tokens(row.prompt_tokens);
  message.set_cached_tokens(row.cached_tokens);
  message.set_completion_tokens(row.completion_tokens);
}

}  // namespace

void UsageService::list(const Caller& caller, const v1::ListUsageRequest& request,
                        Done<v1::ListUsageResponse> done) {
  done([&]() -> Result<v1::ListUsageResponse> {
    TRY_ASSIGN(store::UsageQuery query, read_query(request));
    TRY_ASSIGN(query.organization,
               visible_organization(options_, caller, request.organization_id()));
    const std::size_t rows_max = query.rows_max++;  // one more tells that there are more
    TRY_ASSIGN(std::vector<store::UsageRow> rows, store_.usage(query));
    v1::ListUsageResponse response;
    response.set_is_cut(rows.size() > rows_max);
    rows.resize(std::min(rows.size(), rows_max));
    for (const store::UsageRow& row : rows) {
      to_message(row, query.period.count() > 0, *response.add_usage());
    }
    return response;
  }());
}

}  // namespace staithe::service
