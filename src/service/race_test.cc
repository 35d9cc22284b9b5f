#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <set>

#include "base/thread.h"
#include "service/test_setting.h"
#include "store/sqlite/test_setting.h"

namespace staithe::service {
namespace {

constexpr int caller_count = 8;

// Every race is run on both stores: one decides on the caller's thread, the other on a thread of
// its own that writes many transactions at once.
class Race : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      sqlite_ = std::make_unique<store::SqliteSetting>();
      store_ = sqlite_->open();
    } else {
      store_ = std::make_unique<store::MemoryStore>();
    }
    desk_ = std::make_unique<Desk>(*store_, clock_, random_);
  }

  // Runs body(0), body(1), ... at the same time.
  static void together(int count, const std::function<void(int)>& body) {
    std::barrier start(count);
    std::vector<Thread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back("racer", [i, &start, &body] {
        start.arrive_and_wait();
        body(i);
      });
    }
  }

  std::string a_gateway(const std::string& name) {
    return desk_->create(gateway_request(name))->gateway().spec().id();
  }

  FakeClock clock_;
  SystemRandom random_;
  std::unique_ptr<store::SqliteSetting> sqlite_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Desk> desk_;
};

TEST_P(Race, of_creates_with_one_name_exactly_one_wins) {
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> won = 0;
    std::atomic<int> lost = 0;
    together(caller_count, [&](int) {
      const auto created = desk_->create(claim_request("claim-" + std::to_string(round)));
      if (created) {
        ++won;
      } else if (created.error().reason == "NAME_TAKEN") {
        ++lost;
      }
    });
    EXPECT_EQ(won, 1);
    EXPECT_EQ(lost, caller_count - 1);
  }
}

TEST_P(Race, updates_of_one_claim_all_succeed_one_after_the_other) {
  const std::string id = desk_->create(claim_request())->capacity_claim().spec().id();
  std::atomic<int> refused = 0;
  together(caller_count, [&](int racer) {
    pb::UpdateCapacityClaimRequest request = update_of(claim_request(), id);
    for (int i = 0; i < 10; ++i) {
      request.mutable_resources()->set_instance_count(
          static_cast<std::uint32_t>(10 + racer * 10 + i));
      if (!desk_->update(request)) ++refused;
    }
  });
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(store::get_claim(*store_, id)->value().value.status.generation,
            1U + caller_count * 10U);
}

TEST_P(Race, deployments_are_created_on_one_gateway_without_turning_each_other_away) {
  const std::string gateway = a_gateway("edge");
  const std::uint64_t version = store::get_gateway(*store_, gateway)->value().version;
  std::atomic<int> refused = 0;
  together(caller_count, [&](int racer) {
    for (int i = 0; i < 10; ++i) {
      const std::string name = std::to_string(racer) + "-" + std::to_string(i);
      if (!desk_->create(deployment_request(gateway, name))) ++refused;
    }
  });
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(store::get_gateway(*store_, gateway)->value().version, version)
      << "a create that only refers to a gateway does not write it";
}

TEST_P(Race, no_deployment_lands_on_a_gateway_that_is_deleted) {
  int deleted = 0;
  int kept = 0;
  for (int round = 0; round < 60; ++round) {
    const std::string gateway = a_gateway("edge-" + std::to_string(round));
    std::atomic<int> created = 0;
    std::atomic<bool> is_removed = false;
    together(4, [&](int racer) {
      if (racer == 0) {
        const auto removed = desk_->remove_gateway(gateway);
        is_removed = removed.has_value();
        if (!removed) {
          EXPECT_EQ(removed.error().reason, "GATEWAY_IN_USE");
        }
        return;
      }
      const std::string name = std::to_string(round) + "-" + std::to_string(racer);
      // A deletion takes two commits. In every other round its rivals come one commit later.
      if (round % 2 == 1) {
        EXPECT_TRUE(desk_->create(claim_request(name)));
      }
      const auto made = desk_->create(deployment_request(gateway, name));
      if (made) {
        ++created;
      } else {
        EXPECT_EQ(made.error().reason, "DELETING");
      }
    });
    const auto status = store::get_gateway(*store_, gateway)->value().value.status.status;
    EXPECT_EQ(status == model::Status::deleting, is_removed);
    EXPECT_NE(created > 0, is_removed) << "either deployments or the deletion, never both";
    ++(is_removed ? deleted : kept);
  }
  RecordProperty("deleted", deleted);
  RecordProperty("kept", kept);
}

TEST_P(Race, no_deployment_lands_on_a_gateway_that_lost_its_zones) {
  for (int round = 0; round < 60; ++round) {
    const std::string name = "edge-" + std::to_string(round);
    const std::string gateway = a_gateway(name);
    std::atomic<bool> is_created = false;
    std::atomic<bool> is_narrowed = false;
    together(2, [&](int racer) {
      if (racer == 0) {
        pb::CreateGatewayRequest narrow = gateway_request(name);
        narrow.add_zones("RNO2A");
        is_narrowed = desk_->update(update_of(narrow, gateway)).has_value();
      } else {
        is_created =
            desk_->create(deployment_request(gateway, "on-" + std::to_string(round))).has_value();
      }
    });
    EXPECT_NE(is_created, is_narrowed);
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, Race, testing::Bool(),
                         [](const auto& param) { return param.param ? "sqlite" : "memory"; });

}  // namespace
}  // namespace staithe::service
