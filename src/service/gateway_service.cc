#include "service/gateway_service.h"

#include <algorithm>

#include "model/codec.h"
#include "service/commit.h"
#include "service/convert.h"
#include "service/endpoints.h"
#include "service/errors.h"
#include "service/gateway_rules.h"
#include "service/lifecycle.h"
#include "service/owned.h"
#include "service/references.h"
#include "service/request_checks.h"
#include "service/taken.h"
#include "service/violations.h"
#include "store/records.h"

namespace staithe::service {
namespace {

using store::Kind;
using Stored = store::Versioned<model::Gateway>;

constexpr const char* progress_text = "Setting up the endpoint.";

Result<Stored> find_owned(store::Store& store, const Caller& caller, const model::Id& id) {
  return owned(store::get_gateway(store, id), caller, Kind::gateway, id);
}

Identity identity_of(const model::GatewaySpec& spec) {
  return {.kind = Kind::gateway,
          .id = spec.id,
          .organization = spec.organization_id,
          .name = spec.name};
}

template <typename Response>
Response answer(const model::Gateway& gateway) {
  Response response;
  to_message(gateway, *response.mutable_gateway());
  return response;
}

Result<void> check_quota(store::Store& store, const std::string& organization,
                         const ServiceOptions& options) {
  const std::uint32_t limit = options.quotas.of(organization).gateways;
  if (limit == 0) return {};
  TRY_ASSIGN(const auto present, store.list(Kind::gateway, organization));
  if (present.size() >= limit) return errors::quota_exceeded(organization, "gateways", limit);
  return {};
}

std::vector<model::Id> ids_of(const std::vector<model::Deployment>& deployments) {
  std::vector<model::Id> ids;
  for (const model::Deployment& deployment : deployments) ids.push_back(deployment.spec.id);
  return ids;
}

using Zones = std::vector<std::string>;

// True when `after` lacks an instance type that `before` offers.
bool is_narrower(const model::Catalogue& catalogue, const Zones& before, const Zones& after) {
  const std::vector<std::string> types = catalogue.instance_types_in({});
  return std::any_of(types.begin(), types.end(), [&](const std::string& type) {
    return offers(catalogue, before, type) && !offers(catalogue, after, type);
  });
}

// A gateway keeps the zones its deployments need.
Result<void> refuse_stranding(store::Store& store, const model::Catalogue& catalogue,
                              const model::Gateway& gateway, const Zones& after) {
  TRY_ASSIGN(auto deployments, deployments_on(store, gateway));
  std::erase_if(deployments, [&](const model::Deployment& deployment) {
    const std::string& type = deployment.spec.resources.instance_type;
    return !offers(catalogue, gateway.spec.zones, type) || offers(catalogue, after, type);
  });
  if (deployments.empty()) return {};
  return errors::gateway_zones_in_use(gateway.spec.id, ids_of(deployments));
}

template <typename Response>
Prepared<Response> fence_first(const Stored& gateway) {
  return {.transaction = {put_up_fence(gateway)}, .response = {}, .next = Next::prepare_again};
}

}  // namespace

GatewayService::GatewayService(store::Store& store, const Clock& clock, Random& random,
                               const model::CatalogueSlot& catalogue, ServiceOptions options)
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

std::optional<Result<pb::GetGatewayResponse>> GatewayService::get_at_hand(
    const Caller& caller, const pb::GetGatewayRequest& request) {
  using Response = pb::GetGatewayResponse;
  return answer_at_hand<Response>(
      at_hand_, store_, caller, request.id(),
      [](const model::Gateway& gateway) { return answer<Response>(gateway); });
}

void GatewayService::create(const Caller& caller, const pb::CreateGatewayRequest& request,
                            Done<pb::CreateGatewayResponse> done) {
  using Response = pb::CreateGatewayResponse;
  const std::string& organization = caller.principal.organization;
  if (auto valid = validate(request, organization, *catalogue_.get(), options_); !valid) {
    return done(std::move(valid).error());
  }
  model::Gateway gateway;
  gateway.spec = to_model(request);
  if (gateway.spec.id.empty()) gateway.spec.id = random_.uuid();
  gateway.spec.organization_id = organization;
  gateway.status.endpoints = gateway_endpoints(gateway.spec, options_.endpoints);
  mark_created(gateway.status, clock_.now(), progress_text);
  prepare_and_commit<Response>(
      store_,
      [this, gateway]() -> Result<Prepared<Response>> {
        TRY(refuse_taken(store_, identity_of(gateway.spec)));
        TRY(check_quota(store_, gateway.spec.organization_id, options_));
        store::Create step = store::create_step(gateway);
        step.keys = gateway_keys(gateway, options_.endpoints);
        return Prepared<Response>{.transaction = {std::move(step)},
                                  .response = answer<Response>(gateway)};
      },
      [gateway](Error error) {
        return translate_taken(std::move(error), identity_of(gateway.spec));
      },
      std::move(done));
}

void GatewayService::update(const Caller& caller, const pb::UpdateGatewayRequest& request,
                            Done<pb::UpdateGatewayResponse> done) {
  using Response = pb::UpdateGatewayResponse;
  const std::string& organization = caller.principal.organization;
  if (auto valid = validate(request, organization, *catalogue_.get(), options_); !valid) {
    return done(std::move(valid).error());
  }
  model::GatewaySpec wanted = to_model(request);
  wanted.organization_id = organization;
  prepare_and_commit<Response>(
      store_,
      [this, caller, wanted]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Stored stored, find_owned(store_, caller, wanted.id));
        model::Gateway& gateway = stored.value;
        if (gateway.status.status == model::Status::deleting) {
          return errors::deleting(Kind::gateway, gateway.spec.id);
        }
        if (gateway.spec == wanted) {
          return Prepared<Response>{.transaction = {}, .response = answer<Response>(gateway)};
        }
        const auto catalogue = catalogue_.get();
        if (is_narrower(*catalogue, gateway.spec.zones, wanted.zones)) {
          TRY(refuse_stranding(store_, *catalogue, gateway, wanted.zones));
          if (!is_fenced(stored)) return fence_first<Response>(stored);
        }
        gateway.spec = wanted;
        gateway.status.endpoints = gateway_endpoints(wanted, options_.endpoints);
        mark_updated(gateway.status, clock_.now(), progress_text);
        store::Update step = store::update_step(gateway, stored.version);
        step.keys = gateway_keys(gateway, options_.endpoints);
        return Prepared<Response>{.transaction = {std::move(step)},
                                  .response = answer<Response>(gateway)};
      },
      [wanted](Error error) { return translate_taken(std::move(error), identity_of(wanted)); },
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
        TRY_ASSIGN(const std::vector<model::Deployment> users, deployments_on(store_, gateway));
        if (!users.empty()) return errors::gateway_in_use(id, ids_of(users));
        if (!is_fenced(stored)) return fence_first<Response>(stored);
        mark_deleting(gateway.status, clock_.now(), "Taking the endpoint down.");
        store::Update step = store::update_step(gateway, stored.version);
        step.keys = gateway_keys(gateway, options_.endpoints);
        return Prepared<Response>{.transaction = {std::move(step)},
                                  .response = answer<Response>(gateway)};
      },
      [](Error error) { return error; }, std::move(done));
}

void GatewayService::parameters(const Caller&, const pb::GetGatewayParametersRequest&,
                                Done<pb::GetGatewayParametersResponse> done) {
  pb::GetGatewayParametersResponse response;
  for (const std::string& zone : catalogue_.get()->zones) response.add_zones(zone);
  done(std::move(response));
}

Result<void> GatewayService::refresh_endpoints() {
  TRY_ASSIGN(const std::vector<Stored> gateways, store::list_gateways(store_));
  store::Transaction updates;
  for (const Stored& stored : gateways) {
    model::GatewayStatus status = stored.value.status;
    status.endpoints = gateway_endpoints(stored.value.spec, options_.endpoints);
    if (status == stored.value.status) continue;
    status.updated_at = model::next_updated_at(status.updated_at, clock_.now());
    updates.push_back(store::Update{.kind = Kind::gateway,
                                    .id = stored.value.spec.id,
                                    .version = stored.version,
                                    .spec = {},
                                    .status = model::encode(status),
                                    .keys = {}});
  }
  if (updates.empty()) return {};
  TRY(store_.commit_and_wait(std::move(updates)));
  return {};
}

}  // namespace staithe::service
