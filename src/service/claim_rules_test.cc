#include "service/claim_rules.h"

#include <gtest/gtest.h>

#include <functional>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

using Request = pb::CreateCapacityClaimRequest;
using Lines = std::vector<std::string>;

// The violations of a valid request after `change`.
Lines refused(const std::function<void(Request&)>& change, const ServiceOptions& options = {}) {
  Request request = claim_request();
  change(request);
  return violations_of(validate(request, test_catalogue(), options));
}

Lines resources_refused(const std::function<void(pb::CapacityClaimResources&)>& change,
                        const ServiceOptions& options = {}) {
  return refused([&](Request& request) { change(*request.mutable_resources()); }, options);
}

TEST(ClaimRules, a_whole_request_passes) {
  EXPECT_EQ(refused([](Request&) {}), Lines{});
}

TEST(ClaimRules, an_empty_request_lists_everything_in_field_order) {
  const Result<void> result = validate(Request{}, test_catalogue(), {});
  EXPECT_EQ(violations_of(result),
            (Lines{"name: name is required", "resources: resources is required"}));
  EXPECT_EQ(result.error().code, Code::invalid_argument);
  EXPECT_EQ(result.error().message, "name is required");
  EXPECT_EQ(result.error().reason, "INVALID_REQUEST");
}

TEST(ClaimRules, empty_resources_list_every_field) {
  EXPECT_EQ(resources_refused([](auto& resources) { resources.Clear(); }),
            (Lines{"resources.instanceId: resources.instanceId is required",
                   "resources.instanceCount: resources.instanceCount must be at least 1",
                   "resources.capacityType: resources.capacityType is required",
                   "resources.zones: resources.zones is required"}));
}

TEST(ClaimRules, an_id_may_be_left_out_but_not_be_anything) {
  EXPECT_EQ(refused([](Request& request) { request.set_id("mine"); }),
            Lines{"id: id must be a valid UUID"});
}

TEST(ClaimRules, a_name_has_a_length_and_a_form) {
  const std::string form =
      "name: name must be lower-case letters, digits or hyphens, with a letter or digit at both "
      "ends";
  EXPECT_EQ(refused([](Request& request) { request.set_name(std::string(100, 'a')); }), Lines{});
  EXPECT_EQ(refused([](Request& request) { request.set_name("Team A"); }), Lines{form});
  EXPECT_EQ(refused([](Request& request) { request.set_name(std::string(101, 'A')); }),
            (Lines{"name: name must be at most 100 characters", form}));
}

TEST(ClaimRules, zones_are_judged_one_by_one_and_without_regard_to_case) {
  EXPECT_EQ(resources_refused([](auto& resources) { resources.set_zones(0, "us-west-04a"); }),
            Lines{});
  EXPECT_EQ(resources_refused([](auto& resources) {
              resources.set_zones(0, "mars");
              resources.add_zones("US-EAST-99Z");
            }),
            (Lines{"resources.zones[0]: resources.zones[0] must be a valid zone",
                   "resources.zones[2]: resources.zones[2] is not an available zone"}));
  EXPECT_EQ(resources_refused([](auto& resources) { resources.add_zones("us-west-04a"); }),
            Lines{"resources.zones: resources.zones must not contain duplicates"});
}

TEST(ClaimRules, the_number_of_zones_has_a_limit_only_if_configured) {
  ServiceOptions options;
  options.claim_zones_max = 1;
  EXPECT_EQ(resources_refused([](auto&) {}, options),
            Lines{"resources.zones: resources.zones must contain at most 1 zone"});
}

TEST(ClaimRules, the_instance_type_must_be_offered_in_one_of_the_zones) {
  EXPECT_EQ(resources_refused([](auto& resources) { resources.set_instance_id("GD-1xGH200"); }),
            Lines{});
  EXPECT_EQ(resources_refused([](auto& resources) {
              resources.set_instance_id("gd-1xgh200");
              resources.mutable_zones()->RemoveLast();
              resources.set_zones(0, "US-EAST-04A");
            }),
            Lines{"resources.instanceId: resources.instanceId \"gd-1xgh200\" is not available in "
                  "any of the requested zones"});
}

TEST(ClaimRules, an_instance_type_is_not_blamed_for_zones_that_do_not_exist) {
  EXPECT_EQ(resources_refused([](auto& resources) {
              resources.clear_zones();
              resources.add_zones("US-EAST-99Z");
            }),
            Lines{"resources.zones[0]: resources.zones[0] is not an available zone"});
}

TEST(ClaimRules, all_three_capacity_types_pass_unless_strict) {
  const auto with_type = [](int type) {
    return [type](auto& resources) {
      resources.set_capacity_type(static_cast<pb::CapacityType>(type));
    };
  };
  ServiceOptions strict;
  strict.strict_capacity_type = true;
  for (const int type : {1, 2, 3}) EXPECT_EQ(resources_refused(with_type(type)), Lines{});
  EXPECT_EQ(resources_refused(with_type(7)),
            Lines{"resources.capacityType: resources.capacityType must be one of: "
                  "CAPACITY_TYPE_SERVERLESS, CAPACITY_TYPE_CUSTOMER, CAPACITY_TYPE_MANAGED"});
  EXPECT_EQ(resources_refused(with_type(3), strict), Lines{});
  for (const int type : {1, 2, 7}) {
    EXPECT_EQ(resources_refused(with_type(type), strict),
              Lines{"resources.capacityType: resources.capacityType must be one of: "
                    "CAPACITY_TYPE_MANAGED"});
  }
}

TEST(ClaimRules, an_update_needs_an_id_and_no_name) {
  pb::UpdateCapacityClaimRequest request;
  EXPECT_EQ(violations_of(validate(request, test_catalogue(), {})),
            (Lines{"id: id is required", "resources: resources is required"}));
  request = update_of(claim_request(), "nope");
  EXPECT_EQ(violations_of(validate(request, test_catalogue(), {})),
            Lines{"id: id must be a valid UUID"});
}

}  // namespace
}  // namespace staithe::service
