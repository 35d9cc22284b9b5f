#include "service/claim_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"
#include "service/claim_rules.h"
#include "service/commit.h"
#include "service/convert.h"
#include "service/errors.h"
#include "service/lifecycle.h"
#include "service/owned.h"
#include "service/request_checks.h"
#include "service/taken.h"
#include "service/violations.h"
#include "store/records.h"

namespace staithe::service {
namespace {

using store::Kind;
using Stored = store::Versioned<model::CapacityClaim>;

Result<Stored> find_owned(store::Store& store, const Caller& caller, const model::Id& id) {
  return owned(store::get_claim(store, id), caller, Kind::claim, id);
}

Identity identity_of(const model::ClaimSpec& spec) {
  return {
      .kind = Kind::claim, .id = spec.id, .organization = spec.organization_id, .name = spec.name};
}

std::string progress_text(std::uint32_t instance_count) {
  return fmt::format("Allocating {} instance{}.", instance_count, instance_count == 1 ? "" : "s");
}

// What the organization would hold with `instances` for the claim `id` (empty: a new one).
Result<void> check_quota(store::Store& store, const Caller& caller, const ServiceOptions& options,
                         const model::Id& id, std::uint32_t instances) {
  const Quota& quota = options.quotas.of(caller.principal.organization);
  if (quota.claims == 0 && quota.claimed_instances == 0) return {};
  TRY_ASSIGN(const auto claims, store::list_claims(store, caller.principal.organization));
  std::uint64_t count = id.empty() ? 1 : 0;
  std::uint64_t instance_sum = instances;
  for (const Stored& claim : claims) {
    ++count;
    if (claim.value.spec.id != id) instance_sum += claim.value.spec.resources.instance_count;
  }
  const std::string& organization = caller.principal.organization;
  if (id.empty() && quota.claims != 0 && count > quota.claims) {
    return errors::quota_exceeded(organization, "capacity claims", quota.claims);
  }
  if (quota.claimed_instances != 0 && instance_sum > quota.claimed_instances) {
    return errors::quota_exceeded(organization, "claimed instances", quota.claimed_instances);
  }
  return {};
}

template <typename Response>
Response answer(const model::CapacityClaim& claim, const Caller& caller) {
  Response response;
  to_message(claim, caller.spelling, *response.mutable_capacity_claim());
  return response;
}

}  // namespace

ClaimService::ClaimService(store::Store& store, const Clock& clock, Random& random,
                           const model::CatalogueSlot& catalogue, ServiceOptions options)
    : store_(store),
      clock_(clock),
      random_(random),
      catalogue_(catalogue),
      options_(std::move(options)) {}

void ClaimService::list(const Caller& caller, const pb::ListCapacityClaimsRequest& request,
                        Done<pb::ListCapacityClaimsResponse> done) {
  done([&]() -> Result<pb::ListCapacityClaimsResponse> {
    Violations violations;
    std::optional<Timestamp> after;
    if (request.has_updated_after()) {
      after = read_timestamp(violations, "updatedAfter", request.updated_after());
    }
    TRY(std::move(violations).result());
    TRY_ASSIGN(const auto claims, store::list_claims(store_, caller.principal.organization));
    pb::ListCapacityClaimsResponse response;
    for (const Stored& claim : claims) {
      if (after && claim.value.status.updated_at <= *after) continue;
      to_message(claim.value, caller.spelling, *response.add_capacity_claims());
    }
    return response;
  }());
}

void ClaimService::get(const Caller& caller, const pb::GetCapacityClaimRequest& request,
                       Done<pb::GetCapacityClaimResponse> done) {
  done([&]() -> Result<pb::GetCapacityClaimResponse> {
    TRY_ASSIGN(const model::Id id, read_id(request.id()));
    TRY_ASSIGN(const Stored claim, find_owned(store_, caller, id));
    return answer<pb::GetCapacityClaimResponse>(claim.value, caller);
  }());
}

std::optional<Result<pb::GetCapacityClaimResponse>> ClaimService::get_at_hand(
    const Caller& caller, const pb::GetCapacityClaimRequest& request) {
  using Response = pb::GetCapacityClaimResponse;
  return answer_at_hand<Response>(
      at_hand_, store_, caller, request.id(),
      [&caller](const model::CapacityClaim& claim) { return answer<Response>(claim, caller); });
}

Result<model::CapacityClaim> ClaimService::new_claim(
    const Caller& caller, const pb::CreateCapacityClaimRequest& request) {
  TRY(validate(request, *catalogue_.get(), options_));
  model::CapacityClaim claim;
  claim.spec.id = request.id().empty() ? random_.uuid() : to_lower(request.id());
  claim.spec.name = request.name();
  claim.spec.organization_id = caller.principal.organization;
  claim.spec.resources =
      to_model(request.resources(), caller.spelling, model::CapacityType::unspecified);
  claim.status.pending_instances = claim.spec.resources.instance_count;
  mark_created(claim.status, clock_.now(), progress_text(claim.spec.resources.instance_count));
  return claim;
}

Result<ClaimService::Draft> ClaimService::draft_creation(const Caller& caller,
                                                         const model::CapacityClaim& claim) {
  TRY(refuse_taken(store_, identity_of(claim.spec)));
  TRY(check_quota(store_, caller, options_, {}, claim.spec.resources.instance_count));
  return Draft{.resource = claim, .transaction = {store::create_step(claim)}};
}

Result<ClaimService::Draft> ClaimService::draft_update(
    const Caller& caller, const pb::UpdateCapacityClaimRequest& request) {
  TRY_ASSIGN(Stored stored, find_owned(store_, caller, to_lower(request.id())));
  model::CapacityClaim& claim = stored.value;
  if (claim.status.status == model::Status::deleting) {
    return errors::deleting(Kind::claim, claim.spec.id);
  }
  const model::ClaimResources resources =
      to_model(request.resources(), caller.spelling, claim.spec.resources.capacity_type);
  if (resources == claim.spec.resources) return Draft{.resource = claim, .transaction = {}};
  TRY(check_quota(store_, caller, options_, claim.spec.id, resources.instance_count));
  claim.spec.resources = resources;
  const std::uint32_t held = std::min(claim.status.allocated_instances, resources.instance_count);
  claim.status.pending_instances = resources.instance_count - held;
  mark_updated(claim.status, clock_.now(), progress_text(resources.instance_count));
  return Draft{.resource = claim, .transaction = {store::update_step(claim, stored.version)}};
}

Result<model::CapacityClaim> ClaimService::preview(const Caller& caller,
                                                   const pb::CreateCapacityClaimRequest& request) {
  TRY_ASSIGN(const model::CapacityClaim claim, new_claim(caller, request));
  TRY_ASSIGN(Draft draft, draft_creation(caller, claim));
  return std::move(draft.resource);
}

Result<model::CapacityClaim> ClaimService::preview(const Caller& caller,
                                                   const pb::UpdateCapacityClaimRequest& request) {
  TRY(validate(request, *catalogue_.get(), options_));
  TRY_ASSIGN(Draft draft, draft_update(caller, request));
  return std::move(draft.resource);
}

void ClaimService::create(const Caller& caller, const pb::CreateCapacityClaimRequest& request,
                          Done<pb::CreateCapacityClaimResponse> done) {
  using Response = pb::CreateCapacityClaimResponse;
  Result<model::CapacityClaim> made = new_claim(caller, request);
  if (!made) return done(std::move(made).error());
  prepare_and_commit<Response>(
      store_,
      [this, claim = *made, caller]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Draft draft, draft_creation(caller, claim));
        return Prepared<Response>{.transaction = std::move(draft.transaction),
                                  .response = answer<Response>(draft.resource, caller)};
      },
      [claim = *made](Error error) {
        return translate_taken(std::move(error), identity_of(claim.spec));
      },
      std::move(done));
}

void ClaimService::update(const Caller& caller, const pb::UpdateCapacityClaimRequest& request,
                          Done<pb::UpdateCapacityClaimResponse> done) {
  using Response = pb::UpdateCapacityClaimResponse;
  if (auto valid = validate(request, *catalogue_.get(), options_); !valid) {
    return done(std::move(valid).error());
  }
  prepare_and_commit<Response>(
      store_,
      [this, caller, request]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Draft draft, draft_update(caller, request));
        return Prepared<Response>{.transaction = std::move(draft.transaction),
                                  .response = answer<Response>(draft.resource, caller)};
      },
      [](Error error) { return error; }, std::move(done));
}

void ClaimService::remove(const Caller& caller, const pb::DeleteCapacityClaimRequest& request,
                          Done<pb::DeleteCapacityClaimResponse> done) {
  using Response = pb::DeleteCapacityClaimResponse;
  auto id = read_id(request.id());
  if (!id) return done(std::move(id).error());
  prepare_and_commit<Response>(
      store_,
      [this, caller, id = *id]() -> Result<Prepared<Response>> {
        TRY_ASSIGN(Stored stored, find_owned(store_, caller, id));
        model::CapacityClaim& claim = stored.value;
        if (claim.status.status == model::Status::deleting) {
          return Prepared<Response>{.transaction = {}, .response = answer<Response>(claim, caller)};
        }
        mark_deleting(claim.status, clock_.now(), "Draining and releasing the instances.");
        return Prepared<Response>{.transaction = {store::update_step(claim, stored.version)},
                                  .response = answer<Response>(claim, caller)};
      },
      [](Error error) { return error; }, std::move(done));
}

void ClaimService::parameters(const Caller&, const pb::GetCapacityClaimParametersRequest&,
                              Done<pb::GetCapacityClaimParametersResponse> done) {
  pb::GetCapacityClaimParametersResponse response;
  const auto catalogue = catalogue_.get();
  for (const auto& [zone, types] : catalogue->zone_instance_types) {
    if (types.empty() || !catalogue->has_zone(zone)) continue;
    auto& listed = (*response.mutable_zone_instance_types())[zone];
    for (const std::string& type : types) listed.add_instance_ids(type);
  }
  done(std::move(response));
}

}  // namespace staithe::service
