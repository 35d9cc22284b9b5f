#include "reconcile/report.h"

#include <gtest/gtest.h>

namespace staithe::reconcile {
namespace {

using enum model::Status;

constexpr Facts settled{.is_settled = true, .is_minimum_met = true};
constexpr Facts under_way{};
constexpr Facts enough{.is_settled = false, .is_minimum_met = true};
constexpr Facts broken{.problem = Problem::recoverable};
constexpr Facts hopeless{.problem = Problem::terminal};

TEST(NextStatus, follows_the_table_of_the_life_cycle) {
  struct Row {
    model::Status from;
    Facts facts;
    model::Status to;
  };
  const Row rows[] = {{creating, under_way, creating}, {creating, settled, ready},
                      {creating, broken, error},       {creating, hopeless, failed},
                      {creating, enough, creating},    {updating, under_way, updating},
                      {updating, settled, ready},      {updating, broken, error},
                      {updating, hopeless, failed},    {updating, enough, updating},
                      {ready, settled, ready},         {ready, enough, ready},
                      {ready, under_way, error},       {ready, broken, error},
                      {ready, hopeless, error},        {error, under_way, error},
                      {error, enough, error},          {error, broken, error},
                      {error, hopeless, error},        {error, settled, ready},
                      {failed, settled, failed},       {failed, broken, failed},
                      {failed, under_way, failed},     {deleting, settled, deleting},
                      {deleting, broken, deleting},    {deleting, hopeless, deleting}};
  for (const Row& row : rows) {
    for (const bool was_ready : {false, true}) {
      EXPECT_EQ(next_status(row.from, was_ready, row.facts), row.to)
          << status_name(row.from) << " settled " << row.facts.is_settled << " minimum "
          << row.facts.is_minimum_met << " problem " << static_cast<int>(row.facts.problem);
    }
  }
}

TEST(NextStatus, gives_a_resource_without_one_the_status_its_past_asks_for) {
  EXPECT_EQ(next_status(unspecified, false, under_way), creating);
  EXPECT_EQ(next_status(unspecified, true, under_way), updating);
}

TEST(NextStatus, calls_what_works_ready_whatever_else_is_wrong) {
  const Facts facts{.is_settled = true, .is_minimum_met = true, .problem = Problem::terminal};
  EXPECT_EQ(next_status(creating, false, facts), ready);
}

TEST(UpdateStatus, moves_updated_at_only_when_something_can_be_seen) {
  model::StatusBase status;
  status.status = creating;
  const Timestamp now{std::chrono::hours{1}};
  EXPECT_TRUE(update_status(status, ready, {}, "", now));
  EXPECT_EQ(status.updated_at, now);
  EXPECT_TRUE(status.was_ready);
  EXPECT_EQ(status.observed_generation, status.generation);

  const model::StatusBase before = status;
  EXPECT_FALSE(update_status(status, ready, {}, "", now + std::chrono::hours{1}));
  EXPECT_EQ(status, before);
}

TEST(UpdateStatus, drops_conditions_that_no_longer_apply) {
  model::StatusBase status;
  model::Condition allocated{.type = "Allocated",
                             .status = model::ConditionStatus::is_false,
                             .reason = "Partial",
                             .message = "m",
                             .zone = "ZONE-A"};
  update_status(status, creating, {allocated}, "waiting", Timestamp{});
  ASSERT_EQ(status.conditions.size(), 3U);
  EXPECT_EQ(status.conditions[0].type, "Ready");
  EXPECT_EQ(status.conditions[0].message, "waiting");
  EXPECT_EQ(status.conditions[1].type, "Progressing");
  EXPECT_TRUE(update_status(status, creating, {}, "waiting", Timestamp{}));
  EXPECT_EQ(status.conditions.size(), 2U);
}

TEST(UpdateStatus, words_and_times_alone_are_a_rewording) {
  model::StatusBase before;
  update_status(before, creating, {}, "1 of 3 ready", Timestamp{});
  model::StatusBase after = before;
  update_status(after, creating, {}, "2 of 3 ready", Timestamp{std::chrono::seconds{5}});
  ASSERT_NE(before, after);
  EXPECT_TRUE(is_rewording(before, after));
  update_status(after, updating, {}, "2 of 3 ready", Timestamp{std::chrono::seconds{5}});
  EXPECT_FALSE(is_rewording(before, after));
  after = before;
  after.generation += 1;
  EXPECT_FALSE(is_rewording(before, after));
}

}  // namespace
}  // namespace staithe::reconcile
