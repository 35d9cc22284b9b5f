#include "app/feeds.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "service/lifecycle.h"
#include "store/forwarding_store.h"
#include "store/memory/memory_store.h"
#include "store/records.h"

namespace staithe::app {
namespace {

// A store whose feed may die, and come back.
class MortalStore final : public store::ForwardingStore {
 public:
  std::atomic<bool> is_dead = false;

  using ForwardingStore::ForwardingStore;
  Result<store::Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    if (!is_dead) return inner_.changes_since(revision, limit);
    return Error{.code = Code::unavailable,
                 .message = "the disk is gone",
                 .reason = std::string(store::reason_unavailable)};
  }
};

// The feeds over a store, and one loop that reads what they publish.
class FeedsTest : public ::testing::Test {
 protected:
  FeedsTest()
      : routes_(metrics_),
        reader_(routes_, loop_, [](const gateway::RouteTable&) {}),
        feeds_(clock_, store_, tokens_, routes_, limits_, log_, {}, {.domain = "example.com"}) {}
  ~FeedsTest() override { feeds_.stop(); }

  void create_gateway(const std::string& id) {
    model::Gateway gateway;
    gateway.spec.id = id;
    gateway.spec.name = id;
    gateway.spec.organization_id = "cw1a2b";
    service::mark_created(gateway.status, Timestamp{}, "Made for a test.");
    ASSERT_TRUE(store_.commit_and_wait({store::create_step(gateway)}));
  }
  void create_deployment(const std::string& id, std::vector<model::Id> gateways) {
    model::Deployment deployment;
    deployment.spec.id = id;
    deployment.spec.name = id;
    deployment.spec.organization_id = "cw1a2b";
    deployment.spec.model.name = "model-of-" + id;
    deployment.spec.gateway_ids = std::move(gateways);
    service::mark_created(deployment.status, Timestamp{}, "Made for a test.");
    ASSERT_TRUE(store_.commit_and_wait({store::create_step(deployment)}));
  }
  template <typename Change>
  void update_deployment(const std::string& id, Change change) {
    const auto found = store::get_deployment(store_, id);
    ASSERT_TRUE(found && *found);
    model::Deployment deployment = (*found)->value;
    change(deployment);
    ASSERT_TRUE(store_.commit_and_wait({store::update_step(deployment, (*found)->version)}));
  }
  void remove(store::Kind kind, const std::string& id) {
    const auto record = store_.get(kind, id);
    ASSERT_TRUE(record && *record);
    ASSERT_TRUE(store_.commit_and_wait(
        {store::Remove{.kind = kind, .id = id, .version = (*record)->version}}));
  }

  static reconcile::ServingReplica replica(const std::string& id, std::uint16_t port,
                                           bool is_draining = false) {
    return {
        .id = id, .host = "127.0.0.1", .port = port, .concurrency = 0, .is_draining = is_draining};
  }

  template <typename IsDone>
  bool until(IsDone is_done) {
    const Instant deadline = clock_.instant() + std::chrono::seconds(10);
    while (!is_done()) {
      if (clock_.instant() > deadline) return false;
      loop_.run_once(std::chrono::milliseconds(1));
    }
    return true;
  }
  // The ports that requests for a deployment go to, "none" where it is not served.
  std::string ports(const std::string& gateway_id, const std::string& deployment_id) {
    const auto* deployment = reader_.table()->find_deployment(gateway_id, deployment_id);
    if (deployment == nullptr) return "none";
    std::string text;
    for (const auto& one : deployment->replicas) text += " " + std::to_string(one.endpoint.port);
    return text;
  }
  bool become(const std::string& gateway_id, const std::string& deployment_id,
              const std::string& wanted) {
    return until([&] { return ports(gateway_id, deployment_id) == wanted; });
  }

  SystemClock clock_;
  Log log_{2, LogLevel::error};
  Metrics metrics_;
  store::MemoryStore memory_{2};  // removals older than two are forgotten
  MortalStore store_{memory_};
  auth::TokenTable tokens_;
  gateway::LimitBook limits_;
  net::EventLoop loop_{clock_};
  gateway::RouteTableSlot routes_;
  gateway::RouteTableReader reader_;
  Feeds feeds_;
};

TEST_F(FeedsTest, what_was_there_and_what_comes_is_served) {
  create_gateway("g");
  create_deployment("a", {"g"});
  ASSERT_TRUE(feeds_.start());
  EXPECT_TRUE(become("g", "a", ""));
  feeds_.serving("a", {replica("a1", 1), replica("a2", 2)});
  EXPECT_TRUE(become("g", "a", " 1 2"));
  create_gateway("h");
  create_deployment("b", {"g", "h"});
  feeds_.serving("b", {replica("b1", 3)});
  EXPECT_TRUE(become("g", "b", " 3"));
  EXPECT_TRUE(become("h", "b", " 3"));
  EXPECT_EQ(ports("g", "a"), " 1 2");
  EXPECT_EQ(reader_.table()->find_by_host("h.cw1a2b.example.com")->id, "h");
}

TEST_F(FeedsTest, a_deployment_leaves_the_gateways_that_it_no_longer_names) {
  create_gateway("g");
  create_gateway("h");
  create_deployment("a", {"g"});
  ASSERT_TRUE(feeds_.start());
  feeds_.serving("a", {replica("a1", 1)});
  ASSERT_TRUE(become("g", "a", " 1"));
  update_deployment("a", [](model::Deployment& one) { one.spec.gateway_ids = {"h"}; });
  EXPECT_TRUE(become("h", "a", " 1"));
  EXPECT_EQ(ports("g", "a"), "none");
  update_deployment("a", [](model::Deployment& one) { one.spec.disabled = true; });
  EXPECT_TRUE(become("h", "a", "none"));
  update_deployment("a", [](model::Deployment& one) { one.spec.disabled = false; });
  EXPECT_TRUE(become("h", "a", " 1"));
  remove(store::Kind::gateway, "h");
  EXPECT_TRUE(until([&] { return reader_.table()->find_by_id("h") == nullptr; }));
  create_gateway("h");
  EXPECT_TRUE(become("h", "a", " 1"));
  remove(store::Kind::deployment, "a");
  EXPECT_TRUE(become("h", "a", "none"));
}

// The service refuses such a list; what a record says must not bring the feeds down.
TEST_F(FeedsTest, a_gateway_that_is_named_twice_has_the_deployment_once) {
  create_gateway("g");
  create_deployment("a", {"g", "g"});
  ASSERT_TRUE(feeds_.start());
  feeds_.serving("a", {replica("a1", 1)});
  ASSERT_TRUE(become("g", "a", " 1"));
  update_deployment("a", [](model::Deployment& one) { one.spec.gateway_ids = {}; });
  EXPECT_TRUE(become("g", "a", "none"));
}

TEST_F(FeedsTest, replicas_that_drain_are_drained_once_every_loop_knows) {
  create_gateway("g");
  create_deployment("a", {"g"});
  ASSERT_TRUE(feeds_.start());
  feeds_.serving("a", {replica("a1", 1), replica("a2", 2)});
  ASSERT_TRUE(become("g", "a", " 1 2"));
  EXPECT_TRUE(until([&] { return feeds_.is_routed("a2"); }));
  EXPECT_FALSE(feeds_.is_drained("a1"));
  feeds_.serving("a", {replica("a1", 1, true), replica("a2", 2)});
  EXPECT_FALSE(feeds_.is_drained("a1"));
  ASSERT_TRUE(become("g", "a", " 2"));
  EXPECT_TRUE(until([&] { return feeds_.is_drained("a1"); }));
  EXPECT_TRUE(feeds_.is_routed("a1"));
  feeds_.serving("a", {replica("a2", 2)});
  EXPECT_TRUE(until([&] { return !feeds_.is_routed("a1"); }));
  EXPECT_FALSE(feeds_.is_drained("a2"));
  feeds_.serving("a", {});
  EXPECT_TRUE(become("g", "a", ""));
  EXPECT_TRUE(until([&] { return feeds_.is_drained("a2"); }));
}

TEST_F(FeedsTest, engines_come_and_go_while_the_store_is_dead) {
  create_gateway("g");
  create_deployment("a", {"g"});
  ASSERT_TRUE(feeds_.start());
  feeds_.serving("a", {replica("a1", 1)});
  ASSERT_TRUE(become("g", "a", " 1"));
  store_.is_dead = true;
  feeds_.serving("a", {replica("a2", 2)});
  EXPECT_TRUE(become("g", "a", " 2"));
  create_deployment("b", {"g"});
  feeds_.serving("b", {replica("b1", 3)});
  store_.is_dead = false;
  EXPECT_TRUE(become("g", "b", " 3"));
}

TEST_F(FeedsTest, a_feed_that_has_forgotten_removals_is_read_anew) {
  create_gateway("g");
  for (const char* id : {"a", "b", "c", "d"}) create_deployment(id, {"g"});
  ASSERT_TRUE(feeds_.start());
  feeds_.serving("d", {replica("d1", 4)});
  ASSERT_TRUE(become("g", "d", " 4"));
  store_.is_dead = true;
  for (const char* id : {"a", "b", "c"}) remove(store::Kind::deployment, id);
  store_.is_dead = false;
  EXPECT_TRUE(become("g", "a", "none"));
  EXPECT_EQ(ports("g", "b"), "none");
  EXPECT_EQ(ports("g", "c"), "none");
  EXPECT_EQ(ports("g", "d"), " 4");
  EXPECT_TRUE(feeds_.is_routed("d1"));
}

}  // namespace
}  // namespace staithe::app
