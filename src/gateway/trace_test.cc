#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gateway/testing/gateway_world.h"

namespace staithe::gateway {
namespace {

using namespace testing;

constexpr std::string_view trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view caller_id = "00f067aa0ba902b7";

// ---- traceparent

TEST(TraceContext, reads_what_it_writes) {
  const TraceContext context{
      .trace_id = std::string(trace_id), .span_id = std::string(caller_id), .is_sampled = true};
  const std::string text = format_traceparent(context);
  EXPECT_EQ(text, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  const auto read = parse_traceparent(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->trace_id, trace_id);
  EXPECT_EQ(read->span_id, caller_id);
  EXPECT_TRUE(read->is_sampled);
}

// The rules of https://www.w3.org/TR/trace-context/#versioning-of-traceparent.
TEST(TraceContext, takes_later_versions_as_far_as_the_first_goes) {
  const std::string first = "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";
  EXPECT_FALSE(parse_traceparent("00" + first + "0")->is_sampled);
  EXPECT_TRUE(parse_traceparent("00" + first + "9")->is_sampled);
  EXPECT_TRUE(parse_traceparent("01" + first + "1"));
  EXPECT_TRUE(parse_traceparent("cc" + first + "1-what-comes-later"));
  EXPECT_FALSE(parse_traceparent("00" + first + "1-what-comes-later"));
  EXPECT_FALSE(parse_traceparent("cc" + first + "1.what-comes-later"));
  EXPECT_FALSE(parse_traceparent("ff" + first + "1"));
}

TEST(TraceContext, refuses_what_is_none) {
  for (const std::string_view text : {
           "",
           "00",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
       }) {
    EXPECT_FALSE(parse_traceparent(text)) << text;
  }
}

// ---- spans of requests

class Spans final : public SpanSink {
 public:
  void add(std::unique_ptr<RequestSpan> span) override { all.push_back(std::move(span)); }
  std::vector<std::unique_ptr<RequestSpan>> all;
};

class Trace : public ::testing::Test {
 protected:
  static Options tracing(Spans& spans, UsageBook& book, std::uint32_t percent) {
    Options options;
    options.usage = &book;
    options.trace = {.sink = &spans, .sample_percent = percent};
    return options;
  }
  static std::string ask(std::string_view headers) {
    return post("/v1/chat/completions", R"({"model":"model-a"})",
                fmt::format("Content-Type: application/json\r\n{}", headers));
  }
  static std::string sent(bool is_sampled) {
    return fmt::format("traceparent: 00-{}-{}-0{}\r\ntracestate: vendor=1\r\n", trace_id, caller_id,
                       is_sampled ? 1 : 0);
  }
  // What the engine gets of a request that it answers.
  Message at_engine(std::string_view headers) {
    Message seen;
    engine.script = [&seen](const Message& request) {
      seen = request;
      return answer_with(R"({"usage":{"prompt_tokens":7,"completion_tokens":3}})");
    };
    EXPECT_EQ(world.ask(ask(headers)).status(), 200);
    return seen;
  }

  Spans spans;
  UsageBook book;
  GatewayWorld world{tracing(spans, book, 100)};
  FakeEngine& engine = world.add_engine();
};

TEST_F(Trace, M06_a_request_with_a_trace_gets_a_span_of_its_own_within_it) {
  const Message seen = at_engine(sent(true));
  ASSERT_EQ(spans.all.size(), 1u);
  const RequestSpan& span = *spans.all[0];
  EXPECT_EQ(span.context.trace_id, trace_id);
  EXPECT_EQ(span.parent_id, caller_id);
  EXPECT_NE(span.context.span_id, caller_id);
  EXPECT_EQ(seen.count("traceparent"), 1u);
  EXPECT_EQ(seen.header("traceparent"), fmt::format("00-{}-{}-01", trace_id, span.context.span_id));
  EXPECT_EQ(seen.header("tracestate"), "vendor=1");
}

TEST_F(Trace, a_span_tells_of_the_model_the_tokens_and_the_replica) {
  at_engine("");
  ASSERT_EQ(spans.all.size(), 1u);
  const RequestSpan& span = *spans.all[0];
  EXPECT_EQ(span.parent_id, "");
  EXPECT_EQ(span.method, "POST");
  EXPECT_EQ(span.operation, "chat");
  EXPECT_EQ(span.model, "model-a");
  EXPECT_EQ(span.organization, "org001");
  EXPECT_EQ(span.gateway_id, "gw");
  EXPECT_EQ(span.deployment_id, "dep-a");
  EXPECT_EQ(span.replica_id, "dep-a-1");
  EXPECT_EQ(span.status, 200);
  ASSERT_TRUE(span.tokens);
  EXPECT_EQ(span.tokens->input, 7u);
  EXPECT_EQ(span.tokens->output, 3u);
  EXPECT_TRUE(span.first_byte_at);
}

TEST_F(Trace, a_trace_that_is_not_recorded_passes_as_it_is) {
  const Message seen = at_engine(sent(false));
  EXPECT_TRUE(spans.all.empty());
  EXPECT_EQ(seen.header("traceparent"), fmt::format("00-{}-{}-00", trace_id, caller_id));
}

TEST_F(Trace, a_damaged_trace_is_replaced_as_a_whole) {
  const Message seen = at_engine("traceparent: 00-zz-1\r\ntracestate: vendor=1\r\n");
  ASSERT_EQ(spans.all.size(), 1u);
  EXPECT_EQ(spans.all[0]->parent_id, "");
  EXPECT_EQ(seen.header("traceparent"), format_traceparent(spans.all[0]->context));
  EXPECT_FALSE(seen.has("tracestate"));
}

TEST_F(Trace, refusals_and_clients_that_leave_end_their_spans) {
  EXPECT_EQ(world
                .ask(post("/v1/chat/completions", R"({"model":"model-a"})",
                          "Content-Type: application/json\r\n", "wrong"))
                .status(),
            401);
  ASSERT_EQ(spans.all.size(), 1u);
  EXPECT_EQ(spans.all[0]->status, 401);
  RawPeer client = world.connect();
  world.send(client, ask(""));
  world.at_engine(engine);
  client.close();
  ASSERT_TRUE(world.until([&] { return spans.all.size() == 2; }));
  EXPECT_EQ(spans.all[1]->status, 499);
}

TEST_F(Trace, samples_only_requests_without_a_trace) {
  GatewayWorld quiet(tracing(spans, book, 0));
  quiet.add_engine().script = [](const Message&) { return answer_with("{}"); };
  EXPECT_EQ(quiet.ask(ask("")).status(), 200);
  EXPECT_TRUE(spans.all.empty());
  EXPECT_EQ(quiet.ask(ask(sent(true))).status(), 200);
  EXPECT_EQ(spans.all.size(), 1u);
}

TEST(TraceOff, what_clients_send_passes_untouched) {
  GatewayWorld world;
  FakeEngine& engine = world.add_engine();
  RawPeer client = world.connect();
  world.send(client, post("/v1/chat/completions", R"({"model":"model-a"})",
                          "Content-Type: application/json\r\ntraceparent: anything\r\n"));
  EXPECT_EQ(world.at_engine(engine).header("traceparent"), "anything");
}

}  // namespace
}  // namespace staithe::gateway
