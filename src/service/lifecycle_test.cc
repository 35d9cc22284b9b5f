#include "service/lifecycle.h"

#include <gtest/gtest.h>

namespace staithe::service {
namespace {

using model::Status;
using namespace std::chrono_literals;

constexpr Timestamp start{std::chrono::seconds{1'000}};

std::string said(const model::StatusBase& status, std::string_view type) {
  const model::Condition* condition = model::find_condition(status.conditions, type);
  if (condition == nullptr) return "nothing";
  const char* value = condition->status == model::ConditionStatus::is_true ? "True/" : "False/";
  return value + condition->reason;
}

TEST(Lifecycle, a_new_resource_is_creating_and_says_so) {
  model::StatusBase status;
  mark_created(status, start, "Starting.");
  EXPECT_EQ(status.status, Status::creating);
  EXPECT_EQ(status.created_at, start);
  EXPECT_EQ(status.updated_at, start);
  EXPECT_EQ(said(status, "Ready"), "False/Creating");
  EXPECT_EQ(said(status, "Progressing"), "True/Creating");
  EXPECT_EQ(status.conditions.front().message, "Starting.");
  EXPECT_EQ(status.conditions.front().last_update_time, start);
}

struct Step {
  Status from;
  bool was_ready;
  Status to;
};

TEST(Lifecycle, an_update_is_shown_as_updating_except_before_the_first_service) {
  const std::vector<Step> steps = {
      {Status::creating, false, Status::creating}, {Status::ready, true, Status::updating},
      {Status::updating, true, Status::updating},  {Status::updating, false, Status::updating},
      {Status::error, false, Status::updating},    {Status::error, true, Status::updating},
      {Status::failed, false, Status::updating},   {Status::failed, true, Status::updating},
  };
  for (const Step& step : steps) {
    model::StatusBase status;
    mark_created(status, start, "Starting.");
    status.status = step.from;
    status.was_ready = step.was_ready;
    mark_updated(status, start + 5s, "Changing.");
    EXPECT_EQ(status.status, step.to) << model::status_name(step.from) << step.was_ready;
    EXPECT_EQ(status.generation, 2U);
    EXPECT_EQ(status.updated_at, start + 5s);
    EXPECT_EQ(status.created_at, start);
    const bool creating = step.to == Status::creating;
    EXPECT_EQ(said(status, "Ready"), creating ? "False/Creating" : "False/Reconciling");
    EXPECT_EQ(said(status, "Progressing"), creating ? "True/Creating" : "True/Updating");
  }
}

TEST(Lifecycle, updated_at_moves_on_even_when_the_clock_stands_still) {
  model::StatusBase status;
  mark_created(status, start, "Starting.");
  mark_updated(status, start, "Changing.");
  EXPECT_EQ(status.updated_at, start + 1ms);
  mark_deleting(status, start, "Going.");
  EXPECT_EQ(status.updated_at, start + 2ms);
  EXPECT_EQ(status.status, Status::deleting);
  EXPECT_EQ(said(status, "Ready"), "False/Deleting");
  EXPECT_EQ(said(status, "Progressing"), "True/Deleting");
}

}  // namespace
}  // namespace staithe::service
