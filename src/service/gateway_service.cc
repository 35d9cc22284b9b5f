#include "service/gateway_service.h"

#include <algorithm>

#include "base/encoding.h"
#include "service/commit.h"
#include "service/convert.h"
#include "service/endpoints.h"
#include "service/errors.h"
#include "service/gateway_rules.h"
#include "service/lifecycle.h"
#include "service/request_checks.h"
#include "service/violations.h"
#include "store/records.h"

namespace staithe::service {
namespace {

using store::Kind;
using Stored = store::Versioned<model::Gateway>;

constexpr const char* progress_text = "Setting up the endpoint.";

Result<Stored> find_owned(store::Store& store, const Caller& caller, const model::Id& id) {
  TRY_ASSIGN(auto found, store::get_gateway(store, id));
  if (!found || found->value.spec.organization_id != caller.principal.organization) {
    return errors::not_found(Kind::gateway, id);
  }
  return *std::move(found);
}

Error translate_taken(Error error, const model::Gateway& gateway) {
  if (error.reason == store::reason_id_taken)
    return errors::id_taken(Kind::gateway, gateway.spec.id);
  if (error.reason != store::reason_key_taken) return error;
  const store::UniqueKey name =
      store::name_key(Kind::gateway, gateway.spec.organization_id, gateway.spec.name);
  if (error.violations.at(0).field == name.scope) {
    return errors::name_taken(Kind::gateway, gateway.spec.name, error.resources.at(0).name);
  }
  return errors::dns_name_taken(error.violations.at(0).description);
}

template <typename Response>
Response answer(const model::Gateway& gateway) {
  Response response;
  to_message(gateway, *response.mutable_gateway());
  return response;
}

// The deployments, other than those on their way out, that refer to the gateway.
Result<std::vector<model::Deployment>> users_of(store::Store& store,
                                                const model::Gateway& gateway) {
  TRY_ASSIGN(const auto deployments, store::list_deployments(store, gateway.spec.organization_id));
  std::vector<model::Deployment> users;
  for (const auto& deployment : deployments) {
    const auto& ids = deployment.value.spec.gateway_ids;
    const bool is_user = std::find(ids.begin(), ids.end(), gateway.spec.id) != ids.end();
    if (is_user && deployment.value.status.status != model::Status::deleting) {
      users.push_back(deployment.value);
    }
  }
  return users;
}

}  // namespace

GatewayService::GatewayService(store::Store& store, const Clock& clock, Random& random,
                               const model::Catalogue& catalogue, ServiceOptions options)
    : store_(store),
      clock_(clock),
      random_(random),
      catalogue_(catalogue),
      options_(std::move(options)) {}

void GatewayService::list(const Caller& caller, const pb::ListGatewaysRequest& request,
                          Done<pb::ListGatewaysResponse> done) {
  done([&]() -> Result<pb::ListGatewaysResponse> {
    Violations violations;
    std::optional<Timestamp> after;
    if (request.has_updated_after()) {
      after = read_timestamp(violations, "updatedAfter", request.updated_after());
    }
    TRY(std::move(violations).result());
    TRY_ASSIGN(const auto gateways, store::list_gateways(store_, caller.principal.organization));
    pb::ListGatewaysResponse response;
    for (const Stored& gateway : gateways) {
      if (after && gateway.value.status.updated_at <= *after) continue;
      to_message(gateway.value, *response.add_items());
    }
    return response;
  }());
}

void GatewayService::get(const Caller& caller, const pb::GetGatewayRequest& request,
                         Done<pb::GetGatewayResponse> done) {
  done([&]() -> Result<pb::GetGatewayResponse> {
    TRY_ASSIGN(const model::Id id, read_id(request.id()));
    TRY_ASSIGN(const Stored gateway, find_owned(store_, caller, id));
    return answer<pb::GetGatewayResponse>(gateway.value);
  }());
}

void GatewayService::create(const Caller& caller, const pb::CreateGatewayRequest& request,
                            Done<pb::CreateGatewayResponse> done) {
  using Response = pb::CreateGatewayResponse;
  const std::string& organization = caller.principal.organization;
  if (auto valid = validate(request, organization, catalogue_, options_); !valid) {
    return done(std::move(valid).error());
  }
  model::Gateway gateway;
  gateway.spec = to_model(request);
  if (gateway.spec.id.empty()) gateway.spec.id = random_.uuid();
  gateway.spec.organization_id = organization;
  gateway.status.endpoints = gateway_endpoints(gateway.spec, options_.endpoints);
  mark_created(gateway.status, clock_.now(), progress_text);
  if (const std::uint32_t limit = options_.quotas.of(organization).gateways; limit != 0) {
    const auto present = store::list_gateways(store_, organization);
    if (!present) return done(present.error());
    if (present->size() >= limit)
      return done(errors::quota_exceeded(organization, "gateways", limit));
  }
  prepare_and_commit<Response>(
      store_,
      [gateway]() -> Result<Prepared<Response>> {
        return Prepared<Response>{.transaction = {store::create_step(gateway)},
                                  .response = answer<Response>(gateway)};
      },
      [gateway](Error error) { return translate_taken(std::move(error), gateway); },
      std::move(done));
}

void GatewayService::update(const Caller& caller, const pb::UpdateGatewayRequest& request,
                            Done<pb::UpdateGatewayResponse> done) {
  using Response = pb::UpdateGatewayResponse;
  const std::string& organization = caller.principal.organization;
  if (auto valid = validate(request, organization, catalogue_, options_); !valid) {
    return done(std::move(valid).error());
  }
  model::GatewaySpec wanted = to_model(request);
  wanted.organization_id = organization;
  const auto prepare = [this, caller, wanted]() -> Result<Prepared<Response>> {
    TRY_ASSIGN(Stored stored, find_owned(store_, caller, wanted.id));
    model::Gateway& gateway = stored.value;
    if (gateway.status.status == model::Status::deleting) {
      return errors::deleting(Kind::gateway, gateway.spec.id);
    }
    if (gateway.spec == wanted) {
      return Prepared<Response>{.transaction = {}, .response = answer<Response>(gateway)};
    }
    gateway.spec = wanted;
    TRY_ASSIGN(const std::vector<model::Deployment> users, users_of(store_, gateway));
    std::vector<model::Id> stranded;
    const std::vector<std::string> offered = catalogue_.instance_types_in(wanted.zones);
    for (const model::Deployment& user : users) {
      const bool is_offered =
          std::any_of(offered.begin(), offered.end(), [&user](const std::string& type) {
            return model::fold_instance(type) ==
                   model::fold_instance(user.spec.resources.instance_type);
          });
      if (!is_offered) stranded.push_back(user.spec.id);
    }
    if (!stranded.empty()) return errors::gateway_zones_in_use(gateway.spec.id, stranded);
    gateway.status.endpoints = gateway_endpoints(wanted, options_.endpoints);
    mark_updated(gateway.status, clock_.now(), progress_text);
    return Prepared<Response>{.transaction = {store::update_step(gateway, stored.version)},
                              .response = answer<Response>(gateway)};
  };
  model::Gateway named;
  named.spec = wanted;
  prepare_and_commit<Response>(
      store_, prepare, [named](Error error) { return translate_taken(std::move(error), named); },
      std::move(done));
}

void GatewayService::remove(const Caller& caller, const pb::DeleteGatewayRequest& request,
                            Done<pb::DeleteGatewayResponse> done) {
  using Response = pb::DeleteGatewayResponse;
  auto id = read_id(request.id());
  if (!id) return done(std::move(id).error());
  prepare_and_commit<Response>(
      store_,
      [this, caller, id = *id]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Stored stored, find_owned(store_, caller, id));
        model::Gateway& gateway = stored.value;
        if (gateway.status.status == model::Status::deleting) {
          return Prepared<Response>{.transaction = {}, .response = answer<Response>(gateway)};
        }
        TRY_ASSIGN(const std::vector<model::Deployment> users, users_of(store_, gateway));
        if (!users.empty()) {
          std::vector<model::Id> ids;
          for (const model::Deployment& user : users) ids.push_back(user.spec.id);
          return errors::gateway_in_use(gateway.spec.id, ids);
        }
        mark_deleting(gateway.status, clock_.now(), "Taking the endpoint down.");
        return Prepared<Response>{.transaction = {store::update_step(gateway, stored.version)},
                                  .response = answer<Response>(gateway)};
      },
      [](Error error) { return error; }, std::move(done));
}

void GatewayService::parameters(const Caller&, const pb::GetGatewayParametersRequest&,
                                Done<pb::GetGatewayParametersResponse> done) {
  pb::GetGatewayParametersResponse response;
  for (const std::string& zone : catalogue_.zones) response.add_zones(zone);
  done(std::move(response));
}

}  // namespace staithe::service
