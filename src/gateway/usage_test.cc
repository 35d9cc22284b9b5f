#include <gtest/gtest.h>

#include <string>

#include "gateway/testing/gateway_world.h"
#include "gateway/usage_table.h"

namespace staithe::gateway {
namespace {

using namespace testing;

const std::string event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";
const std::string usage_event =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2,"
    "\"prompt_tokens_details\":{\"cached_tokens\":8}}}\n\n";
const std::string done = "data: [DONE]\n\n";
constexpr std::string_view asked_by_client =
    R"({"model":"model-a","stream":true,"stream_options":{"include_usage":true}})";

// A gateway that counts.
class Usage : public ::testing::Test {
 protected:
  static Options counting(UsageBook& book) {
    Options options;
    options.usage = &book;
    return options;
  }
  // The one row there is.
  std::pair<UsageKey, UsageTotals> only_row() {
    UsageRows rows = book.collect();
    EXPECT_EQ(rows.size(), 1u);
    if (rows.empty()) return {};
    return *rows.begin();
  }
  // Sends `request`, whose answer are `events`.
  Message stream(std::string_view request, std::string_view events) {
    // An engine's connection is not used again at once after a stream.
    const std::size_t index = engine.connection_count();
    RawPeer client = world.connect();
    world.send(client, request);
    at_engine = world.at_engine(engine, index);
    engine.peer(index).send(std::string(stream_head) + chunk(events) + std::string(last_chunk));
    return world.answer(client);
  }

  UsageBook book;
  GatewayWorld world{counting(book)};
  FakeEngine& engine = world.add_engine();
  Message at_engine;
};

TEST_F(Usage, S01_a_client_that_asks_itself_gets_every_byte_and_is_counted) {
  const Message answer =
      stream(post("/v1/chat/completions", asked_by_client), event + event + usage_event + done);
  EXPECT_EQ(at_engine.body, asked_by_client);
  EXPECT_EQ(answer.body, event + event + usage_event + done);
  const auto [row_key, totals] = only_row();
  EXPECT_EQ(totals,
            (UsageTotals{
                .requests = 1, .prompt_tokens = 12, .cached_tokens = 8, .completion_tokens = 2}));
  EXPECT_EQ(row_key.token_id, "t1");
  EXPECT_EQ(row_key.organization, "org001");
  EXPECT_EQ(row_key.deployment_id, "dep-a");
  EXPECT_EQ(row_key.model, "model-a");
  EXPECT_EQ(row_key.hour, std::chrono::floor<std::chrono::hours>(world.clock().now()));
}

TEST_F(Usage, S03_the_engine_is_asked_and_what_it_adds_is_taken_out) {
  for (const std::string_view path : {"/v1/chat/completions", "/v1/completions?x=1"}) {
    const Message answer = stream(post(path, R"({"model":"model-a","stream":true})"),
                                  event + event + usage_event + done);
    EXPECT_EQ(at_engine.body,
              R"({"stream_options":{"include_usage":true},"model":"model-a","stream":true})");
    EXPECT_EQ(at_engine.header("content-length"), std::to_string(at_engine.body.size()));
    EXPECT_EQ(answer.body, event + event + done);
    EXPECT_TRUE(answer.is_whole);
    EXPECT_EQ(only_row().second.completion_tokens, 2u);
  }
}

TEST_F(Usage, S03_a_model_that_is_rewritten_does_not_move_the_question) {
  world.route.routing = Routing::header;
  world.route.header_name = "x-model";
  world.publish();
  const Message answer =
      stream(post("/v1/chat/completions", R"({"model":"b","stream":true,"stream_options":{"a":1}})",
                  "X-Model: model-a\r\nContent-Type: application/json\r\n"),
             event + usage_event + done);
  EXPECT_EQ(at_engine.body,
            R"({"model":"model-a","stream":true,"stream_options":{"include_usage":true,"a":1}})");
  EXPECT_EQ(answer.body, event + done);
}

TEST_F(Usage, S03_other_paths_and_other_bodies_are_not_made_to_ask) {
  for (const auto& [path, body] : std::vector<std::pair<std::string, std::string>>{
           {"/v1/responses", R"({"model":"model-a","stream":true})"},
           {"/v1/embeddings", R"({"model":"model-a","stream":true})"},
           {"/v1/chat/completions", R"({"model":"model-a"})"},
           {"/v1/chat/completions", R"({"model":"model-a","stream":false})"}}) {
    EXPECT_EQ(stream(post(path, body), event + done).body, event + done);
    EXPECT_EQ(at_engine.body, body) << path;
  }
}

TEST(UsageOff, S03_without_accounting_the_body_is_untouched_and_nothing_is_taken_out) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  const std::string body = R"({"model":"model-a","stream":true})";
  RawPeer client = world.connect();
  world.send(client, post("/v1/chat/completions", body));
  EXPECT_EQ(world.at_engine(engine).body, body);
  engine.peer(0).send(std::string(stream_head) + chunk(event + usage_event + done) +
                      std::string(last_chunk));
  EXPECT_EQ(world.answer(client).body, event + usage_event + done);
}

TEST_F(Usage, S04_completions_are_counted_like_chat) {
  const Message answer =
      stream(post("/v1/completions", asked_by_client), event + usage_event + done);
  EXPECT_EQ(at_engine.body, asked_by_client);
  EXPECT_EQ(answer.body, event + usage_event + done);
  EXPECT_EQ(only_row().second.prompt_tokens, 12u);
}

TEST_F(Usage, S08_an_event_cut_within_a_sign_passes_as_it_comes_and_is_counted) {
  const std::string whole = "data: {\"choices\":[{\"delta\":{\"content\":\"\u20ac\"}}]}\n\n";
  const std::size_t within = whole.find("\u20ac") + 1;
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk(whole.substr(0, within)));
  ASSERT_TRUE(world.until([&] {
    const auto answer = parse_message(client.received());
    return answer && answer->body == whole.substr(0, within);
  })) << client.received();
  engine.peer(0).send(chunk(whole.substr(within, whole.size() - within - 1)));
  world.settle();
  engine.peer(0).send(chunk("\n") + chunk(usage_event + done) + std::string(last_chunk));
  EXPECT_EQ(world.answer(client).body, whole + done);
  EXPECT_EQ(only_row().second.completion_tokens, 2u);
}

TEST_F(Usage, C07_an_aborted_stream_is_counted_by_what_was_seen) {
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head));
  for (int i = 0; i < 40; ++i) engine.peer(0).send(chunk(event));
  ASSERT_TRUE(world.until([&] {
    const auto answer = parse_message(client.received());
    return answer && answer->body.size() == 40 * event.size();
  }));
  client.close();
  ASSERT_TRUE(world.until([&] { return engine.peer(0).is_gone(); }));
  const UsageTotals totals = only_row().second;
  EXPECT_EQ(totals.requests, 1u);
  EXPECT_EQ(totals.aborted, 1u);
  EXPECT_EQ(totals.estimated, 1u);
  EXPECT_EQ(totals.completion_tokens, 40u);
  EXPECT_GT(totals.prompt_tokens, 0u);
}

TEST_F(Usage, C07_an_aborted_stream_whose_engine_reported_is_exact) {
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk(event + usage_event));
  ASSERT_TRUE(world.until([&] { return client.has_received("one"); }));
  client.close();
  ASSERT_TRUE(world.until([&] { return engine.peer(0).is_gone(); }));
  EXPECT_EQ(only_row().second, (UsageTotals{.requests = 1,
                                            .aborted = 1,
                                            .prompt_tokens = 12,
                                            .cached_tokens = 8,
                                            .completion_tokens = 2}));
}

TEST_F(Usage, C07_a_client_that_leaves_before_the_first_byte_is_counted_aborted) {
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  client.close();
  ASSERT_TRUE(world.until([&] { return engine.peer(0).is_gone(); }));
  const UsageTotals totals = only_row().second;
  EXPECT_EQ(totals.aborted, 1u);
  EXPECT_EQ(totals.completion_tokens, 0u);
}

TEST_F(Usage, a_whole_answer_is_read_in_passing) {
  const std::string body = R"({"choices":[{}],"usage":{"prompt_tokens":3,"completion_tokens":4}})";
  engine.script = [&](const Message&) { return answer_with(body); };
  EXPECT_EQ(world.ask(post("/v1/chat/completions", R"({"model":"model-a"})")).body, body);
  EXPECT_EQ(only_row().second,
            (UsageTotals{.requests = 1, .prompt_tokens = 3, .completion_tokens = 4}));
}

TEST_F(Usage, what_an_engine_refuses_costs_no_tokens_and_what_no_engine_got_is_not_counted) {
  engine.script = [](const Message&) { return answer_with("{}", "400 Bad Request"); };
  EXPECT_EQ(world.ask(chat()).status(), 400);
  EXPECT_EQ(only_row().second, (UsageTotals{.requests = 1, .failed = 1}));
  EXPECT_EQ(world.ask(chat("other-model")).status(), 404);
  EXPECT_EQ(world.ask(get("/v1/models")).status(), 200);
  EXPECT_TRUE(book.collect().empty());
}

TEST_F(Usage, a_stream_that_breaks_ends_in_an_error_without_the_half_event_that_was_kept_back) {
  RawPeer client = world.connect();
  world.send(client, chat());
  world.at_engine(engine);
  engine.peer(0).send(std::string(stream_head) + chunk(event + "data: {\"cho"));
  ASSERT_TRUE(world.until([&] { return client.has_received("one"); }));
  engine.peer(0).close_with_reset();
  const Message answer = world.answer(client);
  EXPECT_TRUE(answer.body.starts_with(event + "data: {\"error\":")) << answer.body;
  const UsageTotals totals = only_row().second;
  EXPECT_EQ(totals.failed, 1u);
  EXPECT_EQ(totals.completion_tokens, 1u);
}

}  // namespace
}  // namespace staithe::gateway
