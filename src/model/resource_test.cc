#include "model/resource.h"

#include <gtest/gtest.h>

namespace staithe::model {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

Timestamp at(int seconds) {
  return Timestamp{std::chrono::seconds{seconds}};
}

Condition make(std::string_view type, std::string_view zone, int seconds,
               ConditionStatus status = ConditionStatus::is_true) {
  return {.type = std::string(type),
          .status = status,
          .last_update_time = at(seconds),
          .reason = "Because",
          .message = "text",
          .zone = std::string(zone)};
}

std::vector<std::string> labels(const std::vector<Condition>& conditions) {
  std::vector<std::string> out;
  for (const Condition& condition : conditions) out.push_back(condition.type + condition.zone);
  return out;
}

TEST(SetCondition, keeps_the_documented_order_whatever_the_order_of_arrival) {
  std::vector<Condition> conditions;
  for (const auto& [type, zone] :
       std::vector<std::pair<std::string_view, std::string_view>>{{condition::routable, ""},
                                                                  {condition::allocated, "Z2"},
                                                                  {condition::progressing, ""},
                                                                  {condition::allocated, "Z1"},
                                                                  {condition::allocated, ""},
                                                                  {condition::ready, ""}}) {
    EXPECT_TRUE(set_condition(conditions, make(type, zone, 1)));
  }
  EXPECT_EQ(labels(conditions),
            (std::vector<std::string>{"Ready", "Progressing", "Allocated", "AllocatedZ2",
                                      "AllocatedZ1", "Routable"}));
}

TEST(SetCondition, moves_the_time_only_when_status_or_reason_change) {
  std::vector<Condition> conditions;
  set_condition(conditions, make(condition::ready, "", 1));

  EXPECT_FALSE(set_condition(conditions, make(condition::ready, "", 2)));
  EXPECT_EQ(conditions[0].last_update_time, at(1));

  Condition other_message = make(condition::ready, "", 3);
  other_message.message = "other";
  EXPECT_TRUE(set_condition(conditions, other_message));
  EXPECT_EQ(conditions[0].message, "other");
  EXPECT_EQ(conditions[0].last_update_time, at(1));

  Condition other_reason = make(condition::ready, "", 4);
  other_reason.reason = "Otherwise";
  EXPECT_TRUE(set_condition(conditions, other_reason));
  EXPECT_EQ(conditions[0].last_update_time, at(4));

  EXPECT_TRUE(set_condition(conditions, make(condition::ready, "", 5, ConditionStatus::is_false)));
  EXPECT_EQ(conditions[0].last_update_time, at(5));
  EXPECT_EQ(conditions.size(), 1u);
}

TEST(SetCondition, keeps_zones_apart) {
  std::vector<Condition> conditions;
  set_condition(conditions, make(condition::allocated, "A", 1));
  set_condition(conditions, make(condition::allocated, "B", 2, ConditionStatus::is_false));
  ASSERT_NE(find_condition(conditions, condition::allocated, "B"), nullptr);
  EXPECT_EQ(find_condition(conditions, condition::allocated, "B")->status,
            ConditionStatus::is_false);
  EXPECT_EQ(find_condition(conditions, condition::allocated), nullptr);
}

TEST(RemoveConditions, says_whether_one_went) {
  std::vector<Condition> conditions{make(condition::allocated, "A", 1)};
  const auto in_zone = [](std::string_view zone) {
    return [zone](const Condition& condition) { return condition.zone == zone; };
  };
  EXPECT_FALSE(remove_conditions(conditions, in_zone("B")));
  EXPECT_TRUE(remove_conditions(conditions, in_zone("A")));
  EXPECT_TRUE(conditions.empty());
}

TEST(NextUpdatedAt, always_moves_by_a_visible_step) {
  EXPECT_EQ(next_updated_at(at(1), at(5)), at(5));
  EXPECT_EQ(next_updated_at(at(5), at(5)), at(5) + milliseconds{1});
  EXPECT_EQ(next_updated_at(at(5), at(1)), at(5) + milliseconds{1});
  EXPECT_EQ(next_updated_at(at(5), at(5) + microseconds{3}), at(5) + milliseconds{1});
}

TEST(StatusName, is_the_wire_name) {
  EXPECT_EQ(status_name(Status::unspecified), "STATUS_UNSPECIFIED");
  EXPECT_EQ(status_name(Status::ready), "STATUS_READY");
}

}  // namespace
}  // namespace staithe::model
