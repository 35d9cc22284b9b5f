#include <gtest/gtest.h>

#include "store/contract_fixture.h"

namespace staithe::store {
namespace {

constexpr std::chrono::hours hour{1};

Timestamp hour_at(int count) {
  return Timestamp{hour * count};
}

UsageRow used(int at_hour, std::string token, std::string deployment, std::uint64_t prompt_tokens,
              std::string organization = "cw1a2b") {
  return {.hour = hour_at(at_hour),
          .organization = std::move(organization),
          .token_id = std::move(token),
          .deployment_id = std::move(deployment),
          .model = "m",
          .requests = 1,
          .aborted = 1,
          .estimated = 1,
          .prompt_tokens = prompt_tokens,
          .cached_tokens = 2,
          .completion_tokens = 3};
}

UsageQuery everything() {
  return {.from = Timestamp{}, .to = hour_at(1'000'000)};
}

class UsageContract : public StoreContract {
 protected:
  std::vector<UsageRow> sums(const UsageQuery& query) {
    const auto rows = store().usage(query);
    EXPECT_TRUE(rows.has_value());
    return rows ? *rows : std::vector<UsageRow>{};
  }
};

TEST_P(UsageContract, rows_of_one_key_are_added_up_whatever_transaction_brought_them) {
  commit({AddUsage{{used(1, "t", "d", 10), used(1, "t", "d", 5), used(2, "t", "d", 1)}}});
  commit({AddUsage{{used(1, "t", "d", 100)}}});
  UsageQuery query = everything();
  query.period = hour;
  query.is_by_organization = query.is_by_token = query.is_by_deployment = query.is_by_model = true;
  const auto rows = sums(query);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].hour, hour_at(1));
  EXPECT_EQ(rows[0].organization, "cw1a2b");
  EXPECT_EQ(rows[0].token_id, "t");
  EXPECT_EQ(rows[0].deployment_id, "d");
  EXPECT_EQ(rows[0].model, "m");
  EXPECT_EQ(rows[0].requests, 3u);
  EXPECT_EQ(rows[0].aborted, 3u);
  EXPECT_EQ(rows[0].failed, 0u);
  EXPECT_EQ(rows[0].estimated, 3u);
  EXPECT_EQ(rows[0].prompt_tokens, 115u);
  EXPECT_EQ(rows[0].cached_tokens, 6u);
  EXPECT_EQ(rows[0].completion_tokens, 9u);
  EXPECT_EQ(rows[1].prompt_tokens, 1u);
}

TEST_P(UsageContract, a_query_filters_and_keeps_apart_what_it_names) {
  commit({AddUsage{{used(1, "t", "d", 1), used(25, "u", "d", 10), used(26, "u", "e", 100),
                    used(26, "v", "e", 1000, "cw9f9f")}}});
  ASSERT_EQ(sums(everything()).size(), 1u);
  EXPECT_EQ(sums(everything())[0].prompt_tokens, 1111u);

  UsageQuery query = everything();
  query.organization = "cw1a2b";
  query.is_by_deployment = true;
  auto rows = sums(query);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].deployment_id, "d");
  EXPECT_EQ(rows[0].token_id, "");
  EXPECT_EQ(rows[0].prompt_tokens, 11u);

  query = everything();
  query.period = std::chrono::days{1};
  rows = sums(query);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].hour, hour_at(24));
  EXPECT_EQ(rows[1].prompt_tokens, 1110u);

  query = everything();
  query.from = hour_at(25);
  query.to = hour_at(26);
  EXPECT_EQ(sums(query)[0].prompt_tokens, 10u);
  query = everything();
  query.token_id = "v";
  EXPECT_EQ(sums(query)[0].prompt_tokens, 1000u);
  query.model = "other";
  EXPECT_TRUE(sums(query).empty());
  query = everything();
  query.is_by_token = true;
  query.rows_max = 2;
  EXPECT_EQ(sums(query).size(), 2u);
}

TEST_P(UsageContract, usage_is_added_with_its_transaction_or_not_at_all) {
  refused({AddUsage{{used(1, "t", "d", 1)}}, touch("absent", 1)});
  EXPECT_TRUE(sums(everything()).empty());
  commit({create("a"), AddUsage{{used(1, "t", "d", 1)}}});
  EXPECT_EQ(sums(everything()).size(), 1u);
}

TEST_P(UsageContract, usage_changes_no_record) {
  const std::uint64_t revision = commit({create("a")});
  commit({AddUsage{{used(1, "t", "d", 1)}}});
  EXPECT_TRUE(store().changes_since(revision, 10)->changes.empty());
  EXPECT_FALSE(store().changes_since(revision, 10)->lost);
}

INSTANTIATE_TEST_SUITE_P(Stores, UsageContract, all_stores(), store_name);

}  // namespace
}  // namespace staithe::store
