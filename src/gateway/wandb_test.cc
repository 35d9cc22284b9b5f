#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/testing/gateway_world.h"
#include "gateway/wandb_keys.h"

namespace staithe::gateway {
namespace {

using namespace testing;
using Verdict = KeyAnswer::Verdict;

// W&B, which answers when it is told to.
struct FakeWandb {
  std::vector<std::pair<std::string, WandbKeys::Done>> questions;

  WandbKeys::Ask ask() {
    return [this](std::string asked_key, WandbKeys::Done done) {
      questions.emplace_back(std::move(asked_key), std::move(done));
    };
  }
  void answer(const KeyAnswer& answer) {
    auto all = std::exchange(questions, {});
    for (auto& [asked_key, done] : all) done(answer);
  }
};

const KeyAnswer valid{.verdict = Verdict::valid, .entity = "team-x"};
const KeyAnswer invalid{.verdict = Verdict::invalid, .entity = {}};
const KeyAnswer unknown{};

class WandbKeysTest : public ::testing::Test {
 protected:
  // The answer at hand, if there is one; `handle` keeps waiting else.
  std::optional<KeyAnswer> find(std::string_view key_text) {
    auto found = keys.find(key_text, [this](const KeyAnswer& answer) { told.push_back(answer); });
    if (auto* answer = std::get_if<KeyAnswer>(&found)) return *answer;
    handles.push_back(std::get<WandbKeys::WaitHandle>(std::move(found)));
    return std::nullopt;
  }

  FakeClock clock;
  Metrics metrics;
  FakeWandb wandb;
  WandbKeys keys{clock, metrics, {.keys_max = 3}, wandb.ask()};
  std::vector<KeyAnswer> told;
  std::vector<WandbKeys::WaitHandle> handles;
};

TEST_F(WandbKeysTest, a_key_is_asked_for_once_by_all_and_then_known) {
  EXPECT_FALSE(find("k"));
  EXPECT_FALSE(find("k"));
  ASSERT_EQ(wandb.questions.size(), 1u);
  EXPECT_EQ(wandb.questions[0].first, "k");
  wandb.answer(valid);
  EXPECT_EQ(told, (std::vector{valid, valid}));
  EXPECT_EQ(find("k"), valid);
  clock.advance(std::chrono::minutes(6));
  EXPECT_FALSE(find("k"));
  wandb.answer(invalid);
  EXPECT_EQ(find("k"), invalid);
  clock.advance(std::chrono::seconds(31));
  EXPECT_FALSE(find("k"));
}

TEST_F(WandbKeysTest, while_nobody_answers_what_was_valid_stays_so_for_a_day) {
  find("k");
  wandb.answer(valid);
  clock.advance(std::chrono::minutes(6));
  EXPECT_FALSE(find("k"));
  wandb.answer(unknown);
  EXPECT_EQ(told.back(), valid);
  EXPECT_EQ(find("k"), valid) << "and is not asked for at once";
  clock.advance(std::chrono::hours(25));
  find("k");
  wandb.answer(unknown);
  EXPECT_EQ(told.back(), unknown);
  find("other");
  wandb.answer(unknown);
  EXPECT_EQ(told.back(), unknown);
  clock.advance(std::chrono::seconds(2));
  EXPECT_FALSE(find("other")) << "asked for again soon";
}

TEST_F(WandbKeysTest, who_has_gone_is_not_told) {
  find("k");
  handles.clear();
  wandb.answer(valid);
  EXPECT_TRUE(told.empty());
  EXPECT_EQ(find("k"), valid);
}

TEST_F(WandbKeysTest, keeps_a_bounded_number_of_keys_and_never_lets_go_of_a_question) {
  for (const char* one : {"a", "b", "c", "d"}) {
    find(one);
    wandb.answer(valid);
  }
  EXPECT_EQ(find("d"), valid);
  EXPECT_FALSE(find("a")) << "the oldest was let go";
  find("e");
  find("f");
  EXPECT_EQ(find("g"), unknown) << "everything is a question";
  wandb.answer(valid);
  EXPECT_EQ(told.size(), 7u) << "four before, three now";
}

TEST(WandbAnswer, is_read_and_anything_unclear_is_unknown) {
  EXPECT_EQ(read_wandb_answer(200, R"({"data":{"viewer":{"id":"1","entity":"team-x"}}})"), valid);
  EXPECT_EQ(read_wandb_answer(200, R"({"data":{"viewer":{"entity":null,"username":"team-x"}}})"),
            valid);
  EXPECT_EQ(read_wandb_answer(200, R"({"data":{"viewer":null}})"), invalid);
  EXPECT_EQ(read_wandb_answer(401, ""), invalid);
  for (const char* body : {"", "x", "[]", R"({"data":{}})", R"({"data":{"viewer":{}}})",
                           R"({"data":{"viewer":7}})", R"({"errors":[]})"}) {
    EXPECT_EQ(read_wandb_answer(200, body), unknown) << body;
  }
  EXPECT_EQ(read_wandb_answer(503, R"({"data":{"viewer":{"entity":"team-x"}}})"), unknown);
  EXPECT_EQ(wandb_authorization("k"), "Basic YXBpOms=");
}

// --- Through a gateway ---------------------------------------------------------------------------

class WandbGateway : public ::testing::Test {
 protected:
  WandbGateway() {
    world.route.auth = AuthKind::weights_and_biases;
    world.publish();
  }
  Options options() {
    Options with;
    with.wandb_keys = &keys;
    with.usage = &book;
    return with;
  }

  FakeClock clock;
  Metrics metrics;
  FakeWandb wandb;
  WandbKeys keys{clock, metrics, {}, wandb.ask()};
  UsageBook book;
  GatewayWorld world{options()};
  FakeEngine& engine = world.add_engine();
};

TEST_F(WandbGateway, a_request_waits_until_it_is_known_whose_key_it_has) {
  RawPeer client = world.connect();
  const std::string body = R"({"model":"model-a","pad":")" + std::string(200'000, 'x') + R"("})";
  world.send(client, post("/v1/completions", body));
  ASSERT_TRUE(world.until([&] { return wandb.questions.size() == 1; }));
  EXPECT_EQ(wandb.questions[0].first, key);
  EXPECT_EQ(engine.connection_count(), 0u);
  wandb.answer(valid);
  const Message request = world.at_engine(engine);
  EXPECT_EQ(request.body, body);
  EXPECT_FALSE(request.has("authorization"));
  engine.peer(0).send(answer_with(R"({"usage":{"prompt_tokens":3}})"));
  EXPECT_EQ(world.answer(client).status(), 200);
  const UsageRows rows = book.collect();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows.begin()->first.token_id, "wandb:team-x");
  EXPECT_EQ(rows.begin()->first.organization, "org001");
  engine.script = [](const Message&) { return answer_with("{}"); };
  EXPECT_EQ(world.ask(chat()).status(), 200) << "the key is known now";
  EXPECT_EQ(world.ask(get("/v1/models")).status(), 200);
}

TEST_F(WandbGateway, refuses_what_is_no_key_and_says_when_nobody_can_be_asked) {
  EXPECT_EQ(world.ask(post("/v1/completions", "{}", "", "")).status(), 401);
  for (const auto& [told, status] : {std::pair(invalid, 401), std::pair(unknown, 503)}) {
    RawPeer client = world.connect();
    world.send(client, post("/v1/completions", "{}", "", fmt::format("key-{}", status)));
    ASSERT_TRUE(world.until([&] { return wandb.questions.size() == 1; }));
    wandb.answer(told);
    const Message answer = world.answer(client);
    EXPECT_EQ(answer.status(), status);
    EXPECT_NE(answer.body.find("Weights & Biases"), std::string::npos);
    EXPECT_EQ(answer.has("retry-after"), status == 503);
  }
  EXPECT_EQ(engine.connection_count(), 0u);
}

TEST_F(WandbGateway, a_client_that_leaves_while_it_waits_is_forgotten) {
  RawPeer client = world.connect();
  world.send(client, chat());
  ASSERT_TRUE(world.until([&] { return wandb.questions.size() == 1; }));
  client.close();
  world.settle();
  wandb.answer(valid);
  world.settle();
  EXPECT_EQ(engine.connection_count(), 0u);
  EXPECT_EQ(world.requests("client_gone", "none"), 1);
}

TEST_F(WandbGateway, a_request_without_a_body_waits_too) {
  RawPeer client = world.connect();
  world.send(client, get("/v1/models"));
  ASSERT_TRUE(world.until([&] { return wandb.questions.size() == 1; }));
  wandb.answer(valid);
  EXPECT_EQ(world.answer(client).status(), 200);
}

}  // namespace
}  // namespace staithe::gateway
