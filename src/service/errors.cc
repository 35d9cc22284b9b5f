#include "service/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "store/records.h"

namespace staithe::service::errors {
namespace {

Error make(Code code, std::string_view reason, std::string message) {
  return Error{.code = code, .message = std::move(message), .reason = std::string(reason)};
}

std::string named(store::Kind kind, std::string_view id) {
  return fmt::format("{} {}", store::kind_name(kind), id);
}

Error with_resource(Error error, store::Kind kind, std::string_view name, std::string description) {
  error.resources.push_back({.type = std::string(store::kind_name(kind)),
                             .name = std::string(name),
                             .description = std::move(description)});
  return error;
}

// One precondition per deployment that is in the way.
Error with_deployments(Error error, const std::vector<model::Id>& deployments,
                       std::string_view problem) {
  CHECK(!deployments.empty());
  const std::size_t listed = std::min(deployments.size(), violations_max);
  for (std::size_t i = 0; i < listed; ++i) {
    error.preconditions.push_back(
        {.type = error.reason,
         .subject = deployments[i],
         .description = fmt::format("deployment {} {}", deployments[i], problem)});
  }
  return error;
}

}  // namespace

Error invalid(std::vector<FieldViolation> violations) {
  CHECK(!violations.empty());
  Error error =
      make(Code::invalid_argument, reason_invalid_request, violations.front().description);
  error.violations = std::move(violations);
  return error;
}

Error not_found(store::Kind kind, const model::Id& id) {
  return with_resource(make(Code::not_found, reason_not_found, named(kind, id) + " not found"),
                       kind, id, fmt::format("no {} with this id", store::kind_name(kind)));
}

Error id_taken(store::Kind kind, const model::Id& id) {
  return with_resource(
      make(Code::already_exists, reason_id_taken, named(kind, id) + " already exists"), kind, id,
      "the id is taken");
}

Error name_taken(store::Kind kind, std::string_view name, const model::Id& holder) {
  return with_resource(
      make(Code::already_exists, reason_name_taken,
           fmt::format("a {} named \"{}\" already exists", store::kind_name(kind), name)),
      kind, holder, fmt::format("the name \"{}\" is taken by {}", name, named(kind, holder)));
}

Error dns_name_taken(std::string_view host) {
  return with_resource(make(Code::already_exists, reason_dns_name_taken,
                            fmt::format("a gateway with the DNS name \"{}\" already exists", host)),
                       store::Kind::gateway, host, "the DNS name is held by another gateway");
}

Error deleting(store::Kind kind, const model::Id& id) {
  Error error =
      make(Code::failed_precondition, reason_deleting, named(kind, id) + " is being deleted");
  error.preconditions.push_back(
      {.type = std::string(reason_deleting), .subject = id, .description = error.message});
  return error;
}

Error gateway_in_use(const model::Id& gateway, const std::vector<model::Id>& deployments) {
  return with_deployments(make(Code::failed_precondition, reason_gateway_in_use,
                               fmt::format("gateway {} is in use by {} deployment{}", gateway,
                                           deployments.size(), deployments.size() == 1 ? "" : "s")),
                          deployments, "uses this gateway; delete it first");
}

Error gateway_zones_in_use(const model::Id& gateway, const std::vector<model::Id>& deployments) {
  return with_deployments(
      make(Code::failed_precondition, reason_gateway_zones_in_use,
           fmt::format("the new zones of gateway {} do not offer the instance type of {} of its "
                       "deployments",
                       gateway, deployments.size())),
      deployments, "needs an instance type that none of the new zones offers");
}

Error quota_exceeded(std::string_view organization, std::string_view what, std::uint32_t limit) {
  Error error = make(Code::resource_exhausted, reason_quota_exceeded,
                     fmt::format("the organization may have at most {} {} at a time", limit, what));
  error.quotas.push_back({.subject = fmt::format("organization:{}/{}", organization, what),
                          .description = error.message});
  return error;
}

Error concurrent_change() {
  return make(Code::aborted, reason_concurrent_change,
              "too many callers change this resource at once; try again");
}

Error node_in_use(const model::Id& node, const NodeUsers& users) {
  Error error =
      make(Code::failed_precondition, reason_node_in_use,
           fmt::format("node {} is in use; drain it first, or remove it with force", node));
  const auto add = [&error](const model::Id& subject, std::string description) {
    if (error.preconditions.size() >= violations_max) return;
    error.preconditions.push_back({.type = std::string(reason_node_in_use),
                                   .subject = subject,
                                   .description = std::move(description)});
  };
  for (const model::Id& claim : users.claims) {
    add(claim, fmt::format("capacity claim {} holds this node", claim));
  }
  for (const model::Id& deployment : users.deployments) {
    add(deployment, fmt::format("deployment {} has replicas on this node", deployment));
  }
  if (users.others > 0) add(node, "other organizations use this node");
  return error;
}

Error node_not_joined(const model::Id& node) {
  Error error = make(Code::failed_precondition, reason_node_not_joined,
                     fmt::format("node {} is a machine that the server found or that its "
                                 "configuration declares; drain it to take it out of service",
                                 node));
  error.preconditions.push_back(
      {.type = std::string(reason_node_not_joined), .subject = node, .description = error.message});
  return error;
}

Error control_plane_unavailable() {
  Error error = make(Code::unavailable, reason_control_plane_unavailable,
                     "the control plane cannot tell just now; try again in a moment");
  error.retry_after_s = 1;
  return error;
}

Error operator_required() {
  return make(Code::permission_denied, reason_operator_required,
              "only an administrator of the operator's organization may do this");
}

}  // namespace staithe::service::errors
