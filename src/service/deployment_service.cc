#include "service/deployment_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"
#include "service/commit.h"
#include "service/convert.h"
#include "service/deployment_rules.h"
#include "service/errors.h"
#include "service/lifecycle.h"
#include "service/owned.h"
#include "service/references.h"
#include "service/request_checks.h"
#include "service/rules.h"
#include "service/taken.h"
#include "service/violations.h"
#include "store/records.h"

namespace staithe::service {
namespace {

using store::Kind;
using Stored = store::Versioned<model::Deployment>;

Result<Stored> find_owned(store::Store& store, const Caller& caller, const model::Id& id) {
  return owned(store::get_deployment(store, id), caller, Kind::deployment, id);
}

Identity identity_of(const model::DeploymentSpec& spec) {
  return {.kind = Kind::deployment,
          .id = spec.id,
          .organization = spec.organization_id,
          .name = spec.name};
}

template <typename Response>
Response answer(const model::Deployment& deployment) {
  Response response;
  to_message(deployment, *response.mutable_deployment());
  return response;
}

std::string progress_text(const model::DeploymentSpec& spec) {
  if (spec.disabled) return "Releasing the replicas.";
  return fmt::format("Starting {} replica{}.", spec.autoscaling.min,
                     spec.autoscaling.min == 1 ? "" : "s");
}

Result<void> check_quota(store::Store& store, const Caller& caller, const ServiceOptions& options,
                         const model::DeploymentSpec& spec, bool is_new) {
  const std::string& organization = caller.principal.organization;
  const Quota& quota = options.quotas.of(organization);
  if (quota.deployments == 0 && quota.replicas == 0) return {};
  TRY_ASSIGN(const auto deployments, store::list_deployments(store, organization));
  std::uint64_t replicas = spec.autoscaling.max;
  for (const Stored& deployment : deployments) {
    if (deployment.value.spec.id != spec.id) replicas += deployment.value.spec.autoscaling.max;
  }
  if (is_new && quota.deployments != 0 && deployments.size() >= quota.deployments) {
    return errors::quota_exceeded(organization, "deployments", quota.deployments);
  }
  if (quota.replicas != 0 && replicas > quota.replicas) {
    return errors::quota_exceeded(organization, "replicas", quota.replicas);
  }
  return {};
}

void fill_in_version(model::DeploymentSpec& spec, const model::Catalogue& catalogue,
                     const ServiceOptions& options) {
  if (spec.runtime.version.empty() && options.default_runtime_version) {
    spec.runtime.version = default_version(spec.runtime.engine, catalogue);
  }
}

// The gateways that were asked for, in that order; without a filter all that a new deployment may
// name.
Result<std::vector<model::Gateway>> gateways_in_scope(store::Store& store, const Caller& caller,
                                                      const Texts& filter) {
  std::vector<model::Gateway> gateways;
  for (const std::string& text : filter) {
    const model::Id id = to_lower(text);
    TRY_ASSIGN(auto gateway, owned(store::get_gateway(store, id), caller, Kind::gateway, id));
    gateways.push_back(std::move(gateway.value));
  }
  if (!filter.empty()) return gateways;
  TRY_ASSIGN(auto all, store::list_gateways(store, caller.principal.organization));
  for (auto& gateway : all) {
    if (gateway.value.status.status == model::Status::deleting) continue;
    gateways.push_back(std::move(gateway.value));
  }
  return gateways;
}

// A type that all of the lists have, or any of them.
std::vector<std::string> combine(const std::vector<std::vector<std::string>>& lists,
                                 bool is_intersection) {
  std::map<std::string, std::size_t> counts;
  for (const auto& list : lists) {
    for (const std::string& text : list) ++counts[text];
  }
  std::vector<std::string> combined;
  for (const auto& [text, count] : counts) {
    if (!is_intersection || count == lists.size()) combined.push_back(text);
  }
  return combined;
}

void set_engines(const model::Catalogue& catalogue, pb::DeploymentRuntimeParameters& parameters) {
  for (const auto& [name, offer] : catalogue.engines) {
    auto& versions = (*parameters.mutable_runtime_versions())[name];
    for (const std::string& version : offer.versions) versions.add_versions(version);
    auto& keys = (*parameters.mutable_runtime_config_options())[name];
    for (const std::string& key : offer.allowed_keys) keys.add_allowed_keys(key);
    auto& names = (*parameters.mutable_engine_env_options())[name];
    for (const std::string& variable : offer.allowed_env_names) names.add_allowed_names(variable);
  }
}

}  // namespace

DeploymentService::DeploymentService(store::Store& store, const Clock& clock, Random& random,
                                     const model::CatalogueSlot& catalogue, ServiceOptions options)
    : store_(store),
      clock_(clock),
      random_(random),
      catalogue_(catalogue),
      options_(std::move(options)) {}

void DeploymentService::list(const Caller& caller, const pb::ListDeploymentsRequest& request,
                             Done<pb::ListDeploymentsResponse> done) {
  done([&]() -> Result<pb::ListDeploymentsResponse> {
    Violations violations;
    std::optional<Timestamp> after;
    check_optional_id(violations, "parentGatewayId", request.parent_gateway_id());
    if (request.has_updated_after()) {
      after = read_timestamp(violations, "updatedAfter", request.updated_after());
    }
    TRY(std::move(violations).result());
    TRY_ASSIGN(const auto deployments,
               store::list_deployments(store_, caller.principal.organization));
    const model::Id gateway = to_lower(request.parent_gateway_id());
    pb::ListDeploymentsResponse response;
    for (const Stored& deployment : deployments) {
      const auto& ids = deployment.value.spec.gateway_ids;
      if (after && deployment.value.status.updated_at <= *after) continue;
      if (!gateway.empty() && std::find(ids.begin(), ids.end(), gateway) == ids.end()) continue;
      to_message(deployment.value, *response.add_items());
    }
    return response;
  }());
}

void DeploymentService::get(const Caller& caller, const pb::GetDeploymentRequest& request,
                            Done<pb::GetDeploymentResponse> done) {
  done([&]() -> Result<pb::GetDeploymentResponse> {
    TRY_ASSIGN(const model::Id id, read_id(request.id()));
    TRY_ASSIGN(const Stored deployment, find_owned(store_, caller, id));
    return answer<pb::GetDeploymentResponse>(deployment.value);
  }());
}

std::optional<Result<pb::GetDeploymentResponse>> DeploymentService::get_at_hand(
    const Caller& caller, const pb::GetDeploymentRequest& request) {
  using Response = pb::GetDeploymentResponse;
  return answer_at_hand<Response>(
      at_hand_, store_, caller, request.id(),
      [](const model::Deployment& deployment) { return answer<Response>(deployment); });
}

Result<model::Deployment> DeploymentService::new_deployment(
    const Caller& caller, const pb::CreateDeploymentRequest& request) {
  const auto catalogue = catalogue_.get();
  TRY(validate(request, *catalogue, options_));
  model::Deployment deployment;
  deployment.spec = to_model(request);
  if (deployment.spec.id.empty()) deployment.spec.id = random_.uuid();
  deployment.spec.organization_id = caller.principal.organization;
  fill_in_version(deployment.spec, *catalogue, options_);
  mark_created(deployment.status, clock_.now(), progress_text(deployment.spec));
  return deployment;
}

Result<model::DeploymentSpec> DeploymentService::wanted_spec(
    const Caller& caller, const pb::UpdateDeploymentRequest& request) {
  const auto catalogue = catalogue_.get();
  TRY(validate(request, *catalogue, options_));
  model::DeploymentSpec wanted = to_model(request);
  wanted.organization_id = caller.principal.organization;
  fill_in_version(wanted, *catalogue, options_);
  return wanted;
}

Result<DeploymentService::Draft> DeploymentService::draft_creation(
    const Caller& caller, const model::Deployment& deployment) {
  TRY(refuse_taken(store_, identity_of(deployment.spec)));
  TRY_ASSIGN(store::Transaction steps,
             pin_gateways(store_, caller, *catalogue_.get(), deployment.spec));
  TRY(check_quota(store_, caller, options_, deployment.spec, true));
  steps.push_back(store::create_step(deployment));
  return Draft{.resource = deployment, .transaction = std::move(steps)};
}

Result<DeploymentService::Draft> DeploymentService::draft_update(
    const Caller& caller, const model::DeploymentSpec& wanted) {
  TRY_ASSIGN(Stored stored, find_owned(store_, caller, wanted.id));
  model::Deployment& deployment = stored.value;
  if (deployment.status.status == model::Status::deleting) {
    return errors::deleting(Kind::deployment, deployment.spec.id);
  }
  if (deployment.spec == wanted) return Draft{.resource = deployment, .transaction = {}};
  TRY_ASSIGN(store::Transaction steps, pin_gateways(store_, caller, *catalogue_.get(), wanted));
  TRY(check_quota(store_, caller, options_, wanted, false));
  deployment.spec = wanted;
  mark_updated(deployment.status, clock_.now(), progress_text(deployment.spec));
  steps.push_back(store::update_step(deployment, stored.version));
  return Draft{.resource = deployment, .transaction = std::move(steps)};
}

Result<model::Deployment> DeploymentService::preview(const Caller& caller,
                                                     const pb::CreateDeploymentRequest& request) {
  TRY_ASSIGN(const model::Deployment deployment, new_deployment(caller, request));
  TRY_ASSIGN(Draft draft, draft_creation(caller, deployment));
  return std::move(draft.resource);
}

Result<model::Deployment> DeploymentService::preview(const Caller& caller,
                                                     const pb::UpdateDeploymentRequest& request) {
  TRY_ASSIGN(const model::DeploymentSpec wanted, wanted_spec(caller, request));
  TRY_ASSIGN(Draft draft, draft_update(caller, wanted));
  // A new name that is taken is for the commit to find out, which a preview has none of.
  TRY_ASSIGN(const auto holder,
             store_.find(store::name_key(Kind::deployment, wanted.organization_id, wanted.name)));
  if (holder && holder->id != wanted.id) {
    return errors::name_taken(Kind::deployment, wanted.name, holder->id);
  }
  return std::move(draft.resource);
}

void DeploymentService::create(const Caller& caller, const pb::CreateDeploymentRequest& request,
                               Done<pb::CreateDeploymentResponse> done) {
  using Response = pb::CreateDeploymentResponse;
  Result<model::Deployment> made = new_deployment(caller, request);
  if (!made) return done(std::move(made).error());
  prepare_and_commit<Response>(
      store_,
      [this, caller, deployment = *made]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Draft draft, draft_creation(caller, deployment));
        return Prepared<Response>{.transaction = std::move(draft.transaction),
                                  .response = answer<Response>(draft.resource)};
      },
      [deployment = *made](Error error) {
        return translate_taken(std::move(error), identity_of(deployment.spec));
      },
      std::move(done));
}

void DeploymentService::update(const Caller& caller, const pb::UpdateDeploymentRequest& request,
                               Done<pb::UpdateDeploymentResponse> done) {
  using Response = pb::UpdateDeploymentResponse;
  Result<model::DeploymentSpec> wanted = wanted_spec(caller, request);
  if (!wanted) return done(std::move(wanted).error());
  prepare_and_commit<Response>(
      store_,
      [this, caller, spec = *wanted]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Draft draft, draft_update(caller, spec));
        return Prepared<Response>{.transaction = std::move(draft.transaction),
                                  .response = answer<Response>(draft.resource)};
      },
      [spec = *wanted](Error error) {
        return translate_taken(std::move(error), identity_of(spec));
      },
      std::move(done));
}

void DeploymentService::remove(const Caller& caller, const pb::DeleteDeploymentRequest& request,
                               Done<pb::DeleteDeploymentResponse> done) {
  using Response = pb::DeleteDeploymentResponse;
  auto id = read_id(request.id());
  if (!id) return done(std::move(id).error());
  prepare_and_commit<Response>(
      store_,
      [this, caller, id = *id]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Stored stored, find_owned(store_, caller, id));
        model::Deployment& deployment = stored.value;
        if (deployment.status.status == model::Status::deleting) {
          return Prepared<Response>{.transaction = {}, .response = answer<Response>(deployment)};
        }
        mark_deleting(deployment.status, clock_.now(), "Draining and stopping the replicas.");
        return Prepared<Response>{.transaction = {store::update_step(deployment, stored.version)},
                                  .response = answer<Response>(deployment)};
      },
      [](Error error) { return error; }, std::move(done));
}

void DeploymentService::parameters(const Caller& caller,
                                   const pb::GetDeploymentParametersRequest& request,
                                   Done<pb::GetDeploymentParametersResponse> done) {
  const auto catalogue = catalogue_.get();
  done([&]() -> Result<pb::GetDeploymentParametersResponse> {
    Violations violations;
    check_unique(violations, "gatewayIds", request.gateway_ids());
    for (int i = 0; i < request.gateway_ids_size(); ++i) {
      if (!rules::is_uuid(request.gateway_ids(i))) {
        violations.add(element("gatewayIds", i), "must be a valid UUID");
      }
    }
    TRY(std::move(violations).result());
    TRY_ASSIGN(const std::vector<model::Gateway> gateways,
               gateways_in_scope(store_, caller, request.gateway_ids()));

    pb::GetDeploymentParametersResponse response;
    std::vector<std::vector<std::string>> types;
    for (const model::Gateway& gateway : gateways) {
      response.add_gateway_ids(gateway.spec.id);
      // A gateway on its way out takes no deployment, whatever its type.
      types.push_back(gateway.status.status == model::Status::deleting
                          ? std::vector<std::string>{}
                          : catalogue->instance_types_in(gateway.spec.zones));
    }
    set_engines(*catalogue, *response.mutable_runtime_parameters());
    auto& resources = *response.mutable_resource_parameters();
    for (const std::string& type : combine(types, !request.gateway_ids().empty())) {
      resources.add_instance_types(type);
    }
    return response;
  }());
}

}  // namespace staithe::service
