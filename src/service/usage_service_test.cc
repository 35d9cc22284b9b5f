#include "service/usage_service.h"

#include <gtest/gtest.h>

#include "service/test_setting.h"

namespace staithe::service {
namespace {

namespace v1 = staithe::v1;

constexpr std::chrono::hours hour{1};

class UsageServiceTest : public ServiceTest {
 protected:
  UsageServiceTest() { options_.operator_organization = "cw9f9f"; }

  void use(int at_hour, const std::string& organization, const std::string& token,
           std::uint64_t tokens) {
    const store::UsageRow row{.hour = Timestamp{hour * at_hour},
                              .organization = organization,
                              .token_id = token,
                              .deployment_id = "d",
                              .model = "m",
                              .requests = 1,
                              .prompt_tokens = tokens};
    ASSERT_TRUE(store_.commit_and_wait({store::AddUsage{{row}}}));
  }

  Result<v1::ListUsageResponse> list(const std::string& organization,
                                     const v1::ListUsageRequest& request) {
    UsageService service(store_, options_);
    Caller caller;
    caller.principal.organization = organization;
    return call(service, &UsageService::list, caller, request);
  }

  ServiceOptions options_;
};

TEST_F(UsageServiceTest, an_organization_sees_its_own_use_and_the_operator_everybodys) {
  use(1, "cw1a2b", "a", 1);
  use(1, "cw3c4d", "b", 10);
  v1::ListUsageRequest request;
  auto own = list("cw1a2b", request);
  ASSERT_TRUE(own);
  ASSERT_EQ(own->usage_size(), 1);
  EXPECT_EQ(own->usage(0).prompt_tokens(), 1u);
  EXPECT_EQ(own->usage(0).organization_id(), "");

  auto all = list("cw9f9f", request);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->usage(0).prompt_tokens(), 11u);

  request.set_organization_id("cw3c4d");
  EXPECT_EQ(list("cw9f9f", request)->usage(0).prompt_tokens(), 10u);
  EXPECT_EQ(list("cw1a2b", request).error().reason, errors::reason_operator_required);
}

TEST_F(UsageServiceTest, sums_are_kept_apart_by_what_was_named) {
  use(1, "cw1a2b", "a", 1);
  use(2, "cw1a2b", "a", 10);
  use(30, "cw1a2b", "b", 100);
  v1::ListUsageRequest request;
  request.add_group_by(v1::USAGE_GROUPING_DAY);
  request.add_group_by(v1::USAGE_GROUPING_TOKEN);
  auto days = list("cw1a2b", request);
  ASSERT_TRUE(days);
  ASSERT_EQ(days->usage_size(), 2);
  EXPECT_EQ(days->usage(0).period_start().seconds(), 0);
  EXPECT_TRUE(days->usage(0).has_period_start());
  EXPECT_EQ(days->usage(0).token_id(), "a");
  EXPECT_EQ(days->usage(0).prompt_tokens(), 11u);
  EXPECT_EQ(days->usage(0).requests(), 2u);
  EXPECT_EQ(days->usage(1).period_start().seconds(), 86'400);
  EXPECT_EQ(days->usage(1).token_id(), "b");

  // The finer one of the two.
  request.add_group_by(v1::USAGE_GROUPING_HOUR);
  EXPECT_EQ(list("cw1a2b", request)->usage_size(), 3);

  request.clear_group_by();
  request.mutable_since()->set_seconds(2 * 3600);
  request.mutable_until()->set_seconds(30 * 3600);
  auto between = list("cw1a2b", request);
  ASSERT_TRUE(between);
  ASSERT_EQ(between->usage_size(), 1);
  EXPECT_FALSE(between->usage(0).has_period_start());
  EXPECT_EQ(between->usage(0).prompt_tokens(), 10u);
}

TEST_F(UsageServiceTest, more_sums_than_an_answer_takes_are_cut_and_said_to_be) {
  constexpr int rows_max = 10'000;
  store::AddUsage step;
  for (int i = 0; i < rows_max; ++i) {
    step.rows.push_back({.hour = Timestamp{hour},
                         .organization = "cw1a2b",
                         .token_id = std::to_string(i),
                         .requests = 1});
  }
  ASSERT_TRUE(store_.commit_and_wait({step}));
  v1::ListUsageRequest request;
  request.add_group_by(v1::USAGE_GROUPING_TOKEN);
  auto whole = list("cw1a2b", request);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->usage_size(), rows_max);
  EXPECT_FALSE(whole->is_cut());

  use(1, "cw1a2b", "one more", 1);
  auto cut = list("cw1a2b", request);
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->usage_size(), rows_max);
  EXPECT_TRUE(cut->is_cut());
}

}  // namespace
}  // namespace staithe::service
