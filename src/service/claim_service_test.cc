#include "service/claim_service.h"

#include <gtest/gtest.h>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

using model::Status;
using store::Kind;
using namespace std::chrono_literals;

const std::string id_a = "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e21";
const std::string id_b = "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e22";

class ClaimServiceTest : public ServiceTest {
 protected:
  std::string a_claim(const std::string& name = "team-a") {
    return desk_.create(claim_request(name))->capacity_claim().spec().id();
  }

  static Caller stranger() { return {.principal = {.organization = "cw9f9f"}}; }
};

TEST_F(ClaimServiceTest, a_created_claim_is_creating_with_everything_pending) {
  const auto created = desk_.create(claim_request());
  ASSERT_TRUE(created);
  const pb::CapacityClaim& claim = created->capacity_claim();
  EXPECT_EQ(claim.spec().id().size(), 36U);
  EXPECT_EQ(claim.spec().organization_id(), "cw1a2b");
  EXPECT_EQ(claim.status().status(), pb::STATUS_CREATING);
  EXPECT_EQ(claim.status().allocated_instances(), 0U);
  EXPECT_EQ(claim.status().pending_instances(), 2U);
  EXPECT_EQ(claim.status().created_at().seconds(), claim.status().updated_at().seconds());
  ASSERT_EQ(claim.status().conditions_size(), 2);
  EXPECT_EQ(claim.status().conditions(0).type(), "Ready");
  EXPECT_EQ(claim.status().conditions(0).status(), pb::Condition::STATUS_FALSE);
  EXPECT_EQ(claim.status().conditions(0).reason(), "Creating");
  EXPECT_EQ(claim.status().conditions(0).message(), "Allocating 2 instances.");
  EXPECT_EQ(claim.status().conditions(1).type(), "Progressing");
  EXPECT_EQ(claim.status().conditions(1).status(), pb::Condition::STATUS_TRUE);

  const auto read = desk_.get_claim(claim.spec().id());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->capacity_claim().SerializeAsString(), claim.SerializeAsString());
}

TEST_F(ClaimServiceTest, resources_come_back_as_they_were_written) {
  pb::CreateCapacityClaimRequest request = claim_request();
  request.mutable_resources()->set_instance_id("GB200-4X");
  request.mutable_resources()->set_zones(0, "us-West-04A");
  const auto created = desk_.create(request);
  ASSERT_TRUE(created);
  EXPECT_EQ(created->capacity_claim().spec().resources().SerializeAsString(),
            request.resources().SerializeAsString());
}

TEST_F(ClaimServiceTest, a_chosen_id_is_stored_in_lower_case_and_taken_then) {
  pb::CreateCapacityClaimRequest request = claim_request();
  request.set_id("5B0E7C1E-4A0F-4A5E-9A57-0D3F1C1F8E21");
  EXPECT_EQ(desk_.create(request)->capacity_claim().spec().id(), id_a);
  request.set_name("other");
  const auto again = desk_.create(request);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::already_exists);
  EXPECT_EQ(again.error().reason, "ID_TAKEN");
  EXPECT_EQ(again.error().message, "capacity claim " + id_a + " already exists");
  ASSERT_EQ(again.error().resources.size(), 1U);
  EXPECT_EQ(again.error().resources[0].type, "capacity claim");
  EXPECT_EQ(again.error().resources[0].name, id_a);
}

TEST_F(ClaimServiceTest, a_name_is_taken_within_its_organization_until_the_claim_is_gone) {
  const std::string holder = a_claim();
  pb::CreateCapacityClaimRequest request = claim_request();
  request.set_id(id_b);
  const auto refused = desk_.create(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::already_exists);
  EXPECT_EQ(refused.error().reason, "NAME_TAKEN");
  EXPECT_EQ(refused.error().message, "a capacity claim named \"team-a\" already exists");
  ASSERT_EQ(refused.error().resources.size(), 1U);
  EXPECT_EQ(refused.error().resources[0].name, holder);
  EXPECT_EQ(desk_.get_claim(id_b).error().code, Code::not_found) << "a refused create left a trace";

  EXPECT_TRUE(call(desk_.claims, &ClaimService::create, stranger(), claim_request()));
  ASSERT_TRUE(desk_.remove_claim(holder));
  EXPECT_FALSE(desk_.create(request)) << "the claim is still being deleted";
  forget(Kind::claim, holder);
  EXPECT_TRUE(desk_.create(request));
}

TEST_F(ClaimServiceTest, claims_of_others_do_not_exist) {
  const std::string id = a_claim();
  for (const Error& error :
       {call(desk_.claims, &ClaimService::get, stranger(), by_id<pb::GetCapacityClaimRequest>(id))
            .error(),
        call(desk_.claims, &ClaimService::update, stranger(), update_of(claim_request(), id))
            .error(),
        call(desk_.claims, &ClaimService::remove, stranger(),
             by_id<pb::DeleteCapacityClaimRequest>(id))
            .error(),
        desk_.get_claim(id_b).error()}) {
    EXPECT_EQ(error.code, Code::not_found);
    EXPECT_EQ(error.reason, "RESOURCE_NOT_FOUND");
    ASSERT_EQ(error.resources.size(), 1U);
    EXPECT_EQ(error.message, "capacity claim " + error.resources[0].name + " not found");
    EXPECT_EQ(error.resources[0].description, "no capacity claim with this id");
  }
  EXPECT_EQ(call(desk_.claims, &ClaimService::list, stranger(), pb::ListCapacityClaimsRequest{})
                ->capacity_claims_size(),
            0);
}

TEST_F(ClaimServiceTest, an_id_of_a_request_must_be_a_uuid) {
  EXPECT_EQ(desk_.get_claim("nope").error().message, "id must be a valid UUID");
  EXPECT_EQ(desk_.get_claim("").error().message, "id is required");
  EXPECT_EQ(desk_.remove_claim("nope").error().violations,
            (std::vector<FieldViolation>{{"id", "id must be a valid UUID"}}));
}

TEST_F(ClaimServiceTest, an_update_replaces_the_resources_and_moves_updated_at) {
  const std::string id = a_claim();
  set_status(Kind::claim, id, Status::ready);
  clock_.advance(1s);
  pb::UpdateCapacityClaimRequest request = update_of(claim_request(), id);
  request.mutable_resources()->set_instance_count(5);
  const auto updated = desk_.update(request);
  ASSERT_TRUE(updated);
  const pb::CapacityClaim& claim = updated->capacity_claim();
  EXPECT_EQ(claim.status().status(), pb::STATUS_UPDATING);
  EXPECT_EQ(claim.spec().resources().instance_count(), 5U);
  EXPECT_EQ(claim.spec().name(), "team-a");
  EXPECT_EQ(claim.status().pending_instances(), 5U);
  EXPECT_GT(claim.status().updated_at().seconds(), claim.status().created_at().seconds());
  EXPECT_EQ(store::get_claim(store_, id)->value().value.status.generation, 2U);
}

TEST_F(ClaimServiceTest, an_update_without_a_change_changes_nothing) {
  const std::string id = a_claim();
  set_status(Kind::claim, id, Status::ready);
  clock_.advance(1s);
  const auto before = desk_.get_claim(id);
  const auto updated = desk_.update(update_of(claim_request(), id));
  ASSERT_TRUE(updated);
  EXPECT_EQ(updated->capacity_claim().SerializeAsString(),
            before->capacity_claim().SerializeAsString());
  EXPECT_EQ(updated->capacity_claim().status().status(), pb::STATUS_READY);
}

TEST_F(ClaimServiceTest, a_claim_being_deleted_shows_it_at_once_and_takes_no_update) {
  const std::string id = a_claim();
  const auto removed = desk_.remove_claim(id);
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->capacity_claim().status().status(), pb::STATUS_DELETING);
  EXPECT_EQ(desk_.get_claim(id)->capacity_claim().status().status(), pb::STATUS_DELETING);
  EXPECT_EQ(desk_.remove_claim(id)->SerializeAsString(), removed->SerializeAsString());

  // Even one that changes nothing.
  const Error error = desk_.update(update_of(claim_request(), id)).error();
  EXPECT_EQ(error.code, Code::failed_precondition);
  EXPECT_EQ(error.reason, "DELETING");
  EXPECT_EQ(error.message, "capacity claim " + id + " is being deleted");
  ASSERT_EQ(error.preconditions.size(), 1U);
  EXPECT_EQ(error.preconditions[0].type, "DELETING");
  EXPECT_EQ(error.preconditions[0].subject, id);

  forget(Kind::claim, id);
  EXPECT_EQ(desk_.remove_claim(id).error().code, Code::not_found);
}

TEST_F(ClaimServiceTest, validation_comes_before_the_look_up) {
  pb::UpdateCapacityClaimRequest request = update_of(claim_request(), id_b);
  request.mutable_resources()->set_instance_count(0);
  EXPECT_EQ(desk_.update(request).error().message, "resources.instanceCount must be at least 1");
}

// What each dialect is told about a claim that one of them wrote.
struct CapacityTypeStep {
  Spelling writer;
  pb::CapacityType written;
  pb::CapacityType shown_by_rest;
  pb::CapacityType shown_by_descriptor;
};

TEST_F(ClaimServiceTest, each_dialect_sees_its_own_spelling_of_the_capacity_type) {
  const std::string id = a_claim();
  const auto serverless = pb::CAPACITY_TYPE_SERVERLESS;
  const auto customer = pb::CAPACITY_TYPE_CUSTOMER;
  const auto managed = pb::CAPACITY_TYPE_MANAGED;
  const std::vector<CapacityTypeStep> steps = {
      {Spelling::rest, serverless, serverless, managed},
      {Spelling::descriptor, managed, serverless, managed},
      {Spelling::descriptor, serverless, serverless, managed},
      {Spelling::rest, managed, managed, managed},
      {Spelling::descriptor, serverless, managed, managed},
      {Spelling::descriptor, customer, customer, customer},
      {Spelling::descriptor, serverless, managed, managed},
  };
  const auto shown_to = [&](Spelling spelling) {
    desk_.caller.spelling = spelling;
    return desk_.get_claim(id)->capacity_claim().spec().resources().capacity_type();
  };
  for (const CapacityTypeStep& step : steps) {
    pb::UpdateCapacityClaimRequest request = update_of(claim_request(), id);
    request.mutable_resources()->set_capacity_type(step.written);
    desk_.caller.spelling = step.writer;
    ASSERT_TRUE(desk_.update(request));
    EXPECT_EQ(shown_to(Spelling::rest), step.shown_by_rest);
    EXPECT_EQ(shown_to(Spelling::descriptor), step.shown_by_descriptor);
  }
}

TEST_F(ClaimServiceTest, a_claim_never_written_through_rest_is_shown_there_as_managed) {
  desk_.caller.spelling = Spelling::descriptor;
  pb::CreateCapacityClaimRequest request = claim_request();
  request.mutable_resources()->set_capacity_type(pb::CAPACITY_TYPE_SERVERLESS);
  const std::string id = desk_.create(request)->capacity_claim().spec().id();
  desk_.caller.spelling = Spelling::rest;
  EXPECT_EQ(desk_.get_claim(id)->capacity_claim().spec().resources().capacity_type(),
            pb::CAPACITY_TYPE_MANAGED);
}

TEST_F(ClaimServiceTest, a_list_is_in_order_of_creation_and_cut_by_updated_after) {
  const std::string first = a_claim("b");
  clock_.advance(1s);
  const std::string second = a_claim("a");
  const auto listed = [&](pb::ListCapacityClaimsRequest request) {
    std::vector<std::string> ids;
    const auto answer = call(desk_.claims, &ClaimService::list, desk_.caller, request);
    for (const auto& claim : answer->capacity_claims()) ids.push_back(claim.spec().id());
    return ids;
  };
  EXPECT_EQ(listed({}), (std::vector{first, second}));

  pb::ListCapacityClaimsRequest request;
  *request.mutable_updated_after() = desk_.get_claim(first)->capacity_claim().status().updated_at();
  EXPECT_EQ(listed(request), std::vector{second}) << "strictly later";
  ASSERT_TRUE(desk_.remove_claim(first));
  EXPECT_EQ(listed(request), (std::vector{first, second})) << "those being deleted are listed";

  request.mutable_updated_after()->set_nanos(1'000'000'000);
  EXPECT_EQ(call(desk_.claims, &ClaimService::list, desk_.caller, request).error().message,
            "updatedAfter must be a valid timestamp");
}

TEST_F(ClaimServiceTest, parameters_leave_out_zones_that_offer_nothing) {
  const auto answer = call(desk_.claims, &ClaimService::parameters, desk_.caller,
                           pb::GetCapacityClaimParametersRequest{});
  const auto& zones = answer->zone_instance_types();
  ASSERT_EQ(zones.size(), 2U);
  EXPECT_EQ(zones.at("US-EAST-04A").instance_ids_size(), 1);
  EXPECT_EQ(zones.at("US-WEST-04A").instance_ids(1), "gd-1xgh200");
}

TEST_F(ClaimServiceTest, quotas_count_claims_and_instances) {
  ServiceOptions limited;
  limited.quotas.standard.claims = 2;
  limited.quotas.standard.claimed_instances = 5;
  limited.quotas.by_organization["cw9f9f"] = {};
  Desk desk(store_, clock_, random_, limited);
  const std::string id = desk.create(claim_request("a"))->capacity_claim().spec().id();
  ASSERT_TRUE(desk.create(claim_request("b")));

  const Error third = desk.create(claim_request("c")).error();
  EXPECT_EQ(third.code, Code::resource_exhausted);
  EXPECT_EQ(third.reason, "QUOTA_EXCEEDED");
  EXPECT_EQ(third.message, "the organization may have at most 2 capacity claims at a time");
  ASSERT_EQ(third.quotas.size(), 1U);
  EXPECT_EQ(third.quotas[0].subject, "organization:cw1a2b/capacity claims");

  pb::UpdateCapacityClaimRequest grow = update_of(claim_request(), id);
  grow.mutable_resources()->set_instance_count(3);
  EXPECT_TRUE(desk.update(grow));
  grow.mutable_resources()->set_instance_count(4);
  EXPECT_EQ(desk.update(grow).error().message,
            "the organization may have at most 5 claimed instances at a time");

  // A create that worked and whose answer was lost is told so, full or not.
  pb::CreateCapacityClaimRequest again = claim_request("a");
  again.set_id(id);
  EXPECT_EQ(desk.create(again).error().reason, "ID_TAKEN");
  desk.caller.principal.organization = "cw9f9f";
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(desk.create(claim_request(name)));
}

}  // namespace
}  // namespace staithe::service
