#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "gateway/model_cards.h"
#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;
using std::chrono::seconds;

class ModelCardsTest : public ::testing::Test {
 protected:
  // An engine that says this of its models.
  void tell(FakeEngine& engine, const std::string& list) {
    engine.script = [this, list](const Message& request) {
      if (request.first_line != "GET /v1/models HTTP/1.1") return answer_with("{}");
      ++asked_count;
      return list.empty() ? answer_with("{}", "404 Not Found") : answer_with(list);
    };
  }
  // What the gateway says, once everything that is to be asked was.
  std::string listed(const std::string& path = "/v1/models") {
    world.advance(seconds(1));
    world.settle();
    world.settle();
    return world.ask(get(path)).body;
  }

  GatewayWorld world{{.model_cards_interval = seconds(1)}};
  int asked_count = 0;
};

TEST_F(ModelCardsTest, T11_the_list_is_of_all_models_and_keeps_what_their_engines_add) {
  tell(world.add_engine("dep-a", "model-a"),
       R"({"object":"list","data":[{"id":"other","max_model_len":1},{"id":"model-a",)"
       R"("object":"model","created":99,"owned_by":"vllm","root":"/srv/m","max_model_len":4096,)"
       R"("meta":{"n_vocab":[1,2]}}]})");
  tell(world.add_engine("dep-b", "model-b"), "");
  world.deployment("dep-c").model = "model-c";
  world.publish();
  const std::string card =
      R"({"id":"model-a","object":"model","created":0,"owned_by":"org001","max_model_len":4096,)"
      R"("meta":{"n_vocab":[1,2]}})";
  EXPECT_EQ(listed(), R"({"object":"list","data":[)" + card +
                          R"(,{"id":"model-b","object":"model","created":0,"owned_by":"org001"},)"
                          R"({"id":"model-c","object":"model","created":0,"owned_by":"org001"}]})");
  EXPECT_EQ(listed("/v1/models/model-a"), card);
}

TEST_F(ModelCardsTest, an_engine_that_has_told_is_not_asked_again) {
  FakeEngine& engine = world.add_engine();
  tell(engine, R"({"data":[{"id":"model-a","max_model_len":1}]})");
  for (int i = 0; i < 5; ++i) listed();
  EXPECT_EQ(asked_count, 1);
}

TEST_F(ModelCardsTest, one_that_has_not_is_asked_again_after_a_while) {
  FakeEngine& engine = world.add_engine();
  tell(engine, "");
  for (int i = 0; i < 5; ++i) listed();
  EXPECT_EQ(asked_count, 1);
  tell(engine, R"({"data":[{"id":"model-a","max_model_len":1}]})");
  world.advance(seconds(30));
  EXPECT_NE(listed().find("max_model_len"), std::string::npos);
}

TEST_F(ModelCardsTest, a_replica_that_takes_over_is_asked_and_the_old_card_holds_until_it_answers) {
  tell(world.add_engine(), R"({"data":[{"id":"model-a","max_model_len":1}]})");
  listed();
  FakeEngine& successor = world.add_engine();
  auto& replicas = world.deployment("dep-a").ready_replicas;
  replicas.erase(replicas.begin());
  world.publish();
  EXPECT_NE(listed().find("\"max_model_len\":1"), std::string::npos);
  tell(successor, R"({"data":[{"id":"model-a","max_model_len":2}]})");
  EXPECT_NE(listed().find("\"max_model_len\":2"), std::string::npos);
}

TEST(ExtraMembers, are_nothing_of_what_is_no_list_of_models) {
  for (const auto text :
       {"", "no JSON", "[]", "{}", R"({"data":{}})", R"({"data":[1,"x",null,{}]})",
        R"({"data":[{"id":7}]})", R"({"data":[{"id":"other"}]})"}) {
    EXPECT_FALSE(extra_members(text, "m")) << text;
  }
  EXPECT_EQ(extra_members(R"({"data":[{"id":"m"}]})", "m"), "");
  EXPECT_EQ(extra_members(R"({"data":[{"id":"m","a\"b":[]}]})", "m"), R"(,"a\"b":[])");
  EXPECT_FALSE(
      extra_members(R"({"data":[{"id":"m","x":")" + std::string(20'000, 'x') + "\"}]}", "m"));
}

}  // namespace
}  // namespace staithe::gateway
