#include "reconcile/allot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

namespace staithe::reconcile {
namespace {

using std::chrono::seconds;
using Names = std::vector<model::Id>;

class AllotTest : public ::testing::Test {
 protected:
  void add_machine(const model::Id& id, std::uint32_t gpu_count = 4,
                   const std::string& zone = "ZONE-A") {
    fleet_.set({.id = id,
                .zone = zone,
                .instance_type = "gpu",
                .gpu_count = gpu_count,
                .organization = {},
                .claim_id = {}});
  }

  static Contender wants(const model::Id& id, std::uint32_t priority, std::uint32_t of_min,
                         std::uint32_t above_min = 0, std::uint32_t gpu_count = 1) {
    Contender contender;
    contender.turn = {priority, Timestamp{seconds{1}}, id};
    contender.request.organization = "cw0001";
    contender.request.instance_type = "gpu";
    contender.request.gpu_count = gpu_count;
    contender.request.classes = {model::CapacityClass::on_demand};
    contender.missing_of_min = of_min;
    contender.missing_above_min = above_min;
    return contender;
  }

  // A replica above its minimum that runs.
  void add_spare(Contender& contender, const model::Id& id, const model::Id& node_id,
                 const std::vector<std::uint32_t>& slots) {
    fleet_.take({{node_id, slots}}, Hold::firm);
    contender.spares.emplace_back(id, std::vector<model::ReplicaPart>{{node_id, slots}});
  }

  void sweep() {
    overlay_.undo();
    result_ = allot(overlay_, contention_);
  }
  std::size_t got(const model::Id& id) const {
    const auto found = result_.by_deployment.find(id);
    return found == result_.by_deployment.end() ? 0 : found->second.placements.size();
  }
  std::size_t promised(const model::Id& id) const {
    const auto found = result_.by_deployment.find(id);
    return found == result_.by_deployment.end() ? 0 : found->second.coming.size();
  }
  Names victims() const {
    Names names;
    for (const auto& [id, cause] : result_.victims) names.push_back(id);
    return names;
  }

  Fleet fleet_;
  Overlay overlay_{fleet_};
  Contention contention_;
  Allotments result_;
};

TEST_F(AllotTest, X11_the_higher_priority_gets_the_last_two_gpus) {
  add_machine("n1", 2);
  contention_.set(wants("low", 100, 2));
  contention_.set(wants("high", 900, 2));
  sweep();
  EXPECT_EQ(got("high"), 2U);
  EXPECT_EQ(got("low"), 0U);
}

TEST_F(AllotTest, X11_of_equal_priorities_the_older_comes_first_then_the_id) {
  add_machine("n1", 1);
  Contender young = wants("a", 100, 1);
  young.turn.created_at = Timestamp{seconds{2}};
  contention_.set(young);
  contention_.set(wants("c", 100, 1));
  contention_.set(wants("b", 100, 1));
  sweep();
  EXPECT_EQ(got("b"), 1U);
  contention_.remove("b");
  contention_.remove("c");
  sweep();
  EXPECT_EQ(got("a"), 1U);
}

TEST_F(AllotTest, serves_everybodys_minimum_before_anything_beyond) {
  add_machine("n1", 3);
  contention_.set(wants("high", 900, 1, 5));
  contention_.set(wants("low", 100, 1, 1));
  sweep();
  EXPECT_EQ(got("high"), 2U);
  EXPECT_EQ(got("low"), 1U);
}

TEST_F(AllotTest, a_smaller_one_gets_what_a_bigger_one_before_it_cannot_use) {
  add_machine("n1", 4);
  fleet_.take({{"n1", {0}}}, Hold::firm);
  contention_.set(wants("big", 900, 2, 0, 2));
  contention_.set(wants("small", 100, 3));
  sweep();
  EXPECT_EQ(got("big"), 1U);
  EXPECT_EQ(got("small"), 1U);
}

TEST_F(AllotTest, what_others_are_leaving_is_promised_in_turn_and_to_one_alone) {
  add_machine("n1", 4);
  fleet_.take({{"n1", {0, 1}}}, Hold::leaving);
  fleet_.take({{"n1", {2}}}, Hold::firm);
  contention_.set(wants("high", 900, 1, 0, 2));
  contention_.set(wants("low", 100, 2));
  sweep();
  EXPECT_EQ(got("high"), 0U);
  EXPECT_EQ(promised("high"), 1U);
  EXPECT_EQ(got("low"), 0U) << "the free slot belongs to what was promised";
  EXPECT_EQ(promised("low"), 1U);
}

TEST_F(AllotTest, the_newest_replica_above_the_minimum_of_the_lowest_priority_gives_way) {
  add_machine("n1", 4);
  Contender low = wants("low", 100, 0);
  add_spare(low, "low-new", "n1", {0});
  add_spare(low, "low-old", "n1", {1});
  Contender middle = wants("middle", 500, 0);
  add_spare(middle, "middle-new", "n1", {2});
  fleet_.take({{"n1", {3}}}, Hold::firm);
  contention_.set(low);
  contention_.set(middle);
  contention_.set(wants("high", 900, 1));
  sweep();
  EXPECT_EQ(victims(), (Names{"low-new"}));
  EXPECT_EQ(promised("high"), 1U);
  contention_.set(wants("high", 900, 3));
  sweep();
  EXPECT_EQ(victims(), (Names{"low-new", "low-old", "middle-new"}));
}

TEST_F(AllotTest, nobody_gives_way_for_what_is_above_a_minimum_or_of_the_same_priority) {
  add_machine("n1", 1);
  Contender low = wants("low", 100, 0);
  add_spare(low, "spare", "n1", {0});
  contention_.set(low);
  contention_.set(wants("greedy", 900, 0, 1));
  contention_.set(wants("equal", 100, 1));
  sweep();
  EXPECT_EQ(victims(), Names{});
}

TEST_F(AllotTest, nobody_gives_way_where_that_does_not_make_room) {
  add_machine("n1", 4);
  Contender low = wants("low", 100, 0);
  add_spare(low, "spare", "n1", {0});
  fleet_.take({{"n1", {1, 2, 3}}}, Hold::firm);
  contention_.set(low);
  contention_.set(wants("high", 900, 1, 0, 2));
  sweep();
  EXPECT_EQ(victims(), Names{});
  EXPECT_TRUE(result_.by_deployment.empty());
}

TEST_F(AllotTest, only_those_give_way_who_are_in_the_way) {
  add_machine("n1", 4);
  add_machine("n2", 4);
  Contender low = wants("low", 100, 0);
  add_spare(low, "elsewhere", "n1", {0});
  add_spare(low, "one-gpu", "n2", {0});
  add_spare(low, "two-gpus", "n2", {1, 2});
  fleet_.take({{"n1", {1, 2, 3}}, {"n2", {3}}}, Hold::firm);
  contention_.set(low);
  contention_.set(wants("high", 900, 1, 0, 2));
  sweep();
  EXPECT_EQ(victims(), (Names{"two-gpus"}));
}

TEST_F(AllotTest, those_who_leave_already_spare_the_others) {
  add_machine("n1", 2);
  Contender low = wants("low", 100, 0);
  add_spare(low, "spare", "n1", {0});
  fleet_.take({{"n1", {1}}}, Hold::leaving);
  contention_.set(low);
  contention_.set(wants("high", 900, 1));
  sweep();
  EXPECT_EQ(victims(), Names{});
  EXPECT_EQ(promised("high"), 1U);
}

TEST_F(AllotTest, spreads_the_replicas_of_one_deployment_over_the_zones) {
  add_machine("a", 4, "ZONE-A");
  add_machine("b", 4, "ZONE-B");
  contention_.set(wants("d", 100, 4));
  sweep();
  std::size_t in_a = 0;
  for (const Placement& each : result_.by_deployment["d"].placements) {
    in_a += each.zone == "ZONE-A";
  }
  EXPECT_EQ(in_a, 2U);
}

}  // namespace
}  // namespace staithe::reconcile
