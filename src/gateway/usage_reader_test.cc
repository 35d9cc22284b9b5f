#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/body_peek.h"
#include "gateway/usage_scanner.h"
#include "gateway/usage_stream.h"

namespace staithe::gateway {
namespace {

// --- One JSON text -------------------------------------------------------------------------------

ReportedTokens scan(std::string_view text, std::size_t piece = 1) {
  UsageScanner scanner;
  for (std::size_t at = 0; at < text.size(); at += piece) scanner.feed(text.substr(at, piece));
  return scanner.reported();
}

TEST(UsageScanner, finds_the_tokens_of_each_api) {
  EXPECT_EQ(scan(R"({"id":"x","usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,
                  "prompt_tokens_details":{"cached_tokens":4}}})"),
            (ReportedTokens{.prompt = 7, .cached = 4, .completion = 3}));
  EXPECT_EQ(
      scan(R"({"data":[{"embedding":[0.1,-2e3]}],"usage":{"prompt_tokens":5,"total_tokens":5}})"),
      (ReportedTokens{.prompt = 5, .cached = {}, .completion = {}}));
  EXPECT_EQ(scan(R"({"type":"response.completed","response":{"output":[{"usage":1}],"usage":{
                  "input_tokens":8,"input_tokens_details":{"cached_tokens":0},"output_tokens":2}}})"),
            (ReportedTokens{.prompt = 8, .cached = 0, .completion = 2}));
  EXPECT_EQ(scan(R"({"results":[],"usage":{"total_tokens":12}})"),
            (ReportedTokens{.prompt = 12, .cached = {}, .completion = {}}));
}

TEST(UsageScanner, is_not_misled_by_what_looks_like_usage) {
  for (const std::string_view text :
       {R"({"content":"\"usage\":{\"prompt_tokens\":1}"})",
        R"({"a":{"usage":{"prompt_tokens":1}}})", R"({"a":[{"usage":{"prompt_tokens":1}}]})",
        R"({"usage":null})", R"({"usage":"{}"})", R"(["usage",{"prompt_tokens":1}])",
        R"({"usage":{"prompt_tokens":-1}})", R"({"usage":{"prompt_tokens":99999999999}})",
        R"({"us\u0061ge":{"prompt_tokens":1}})",
        R"({"message":"usage","x":{"usage":{"prompt_tokens":1}}})", "usage", "}}]]\"{", ""}) {
    EXPECT_TRUE(scan(text).is_empty()) << text;
  }
}

TEST(UsageScanner, strings_end_where_they_end_however_long_and_however_cut) {
  for (std::size_t size = 0; size < 40; ++size) {
    for (const std::string_view escape : {R"(\")", R"(\\)", R"(\n)", "\xc3\xa9", "\xff", ""}) {
      const std::string content = std::string(size, 'x') + std::string(escape) +
                                  std::string(size % 7, 'y') + std::string(escape);
      const std::string text = R"({"a":[[")" + content + R"("]],"b":")" + content +
                               R"(","usage":{"prompt_tokens":)" + std::to_string(size) + "}}";
      for (const std::size_t piece : {1u, 3u, 8u, 17u, 1000u}) {
        EXPECT_EQ(scan(text, piece).prompt, size) << text << " in pieces of " << piece;
      }
    }
  }
}

TEST(UsageScanner, keeps_no_more_than_a_usage_object_may_have) {
  UsageScanner scanner;
  scanner.feed(R"({"usage":{"prompt_tokens":1,"x":")");
  for (int i = 0; i < 100; ++i) scanner.feed(std::string(1000, 'x'));
  scanner.feed(R"("},"usage":{"prompt_tokens":2}})");
  EXPECT_EQ(scanner.reported().prompt, 2u);
}

// --- An event stream -----------------------------------------------------------------------------

const std::string piece =
    "data: {\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"\u20ac\"}}]}\n\n";
const std::string final_usage =
    "data: {\"id\":\"a\",\"choices\":[ "
    "],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n";
const std::string done = "data: [DONE]\n\n";

struct Passed {
  std::string bytes;
  ReportedTokens reported;
  std::uint64_t piece_count = 0;
};
Passed pass(std::string_view stream, UsageStream::Extra extra, std::size_t size) {
  UsageStream reader(extra);
  Passed passed;
  for (std::size_t at = 0; at < stream.size(); at += size) {
    passed.bytes += reader.feed(stream.substr(at, size));
  }
  passed.bytes += reader.finish();
  passed.reported = reader.reported();
  passed.piece_count = reader.piece_count();
  return passed;
}

TEST(UsageStream, S03_takes_out_the_usage_event_and_nothing_else_however_the_stream_is_cut) {
  std::vector<std::string> kept = {
      piece,
      ": keep-alive\n\n",
      "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
      "data: {\"choices\":[],\"usage\":null}\n\n",
      "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7}}\n\n",
      "data: {\"usage\":{\"prompt_tokens\":7}}\n\n",
      "event: x\nid: 1\ndata: {\"choices\":[\ndata: 1]}\n\n",
      "data:{\"choices\":[1]}\n\n",
      "retry: 1\n\n",
      "data: text\n\n",
      "data: {\"choices\":[1],\"choices\":[],\"usage\":{\"prompt_tokens\":7}}\n\n",
      done,
  };
  for (const std::string_view line_end : {"\n", "\r\n", "\r"}) {
    std::string all;
    std::string expected;
    for (const std::string& event : kept) {
      expected += event;
      all += event + final_usage;
    }
    const auto with_line_ends = [line_end](const std::string& text) {
      std::string out;
      for (const char c : text) c == '\n' ? out += line_end : out += c;
      return out;
    };
    all = with_line_ends(all);
    expected = with_line_ends(expected);
    for (std::size_t size = 1; size < 200; ++size) {
      const Passed removed = pass(all, UsageStream::Extra::is_removed, size);
      ASSERT_EQ(removed.bytes, expected) << size;
      ASSERT_EQ(removed.reported.completion, 2u);
      ASSERT_EQ(pass(all, UsageStream::Extra::passes, size).bytes, all) << size;
    }
    EXPECT_EQ(pass(all, UsageStream::Extra::is_removed, all.size()).bytes, expected);
  }
}

TEST(UsageStream, S08_passes_bytes_on_as_they_come) {
  const std::string_view whole = piece;
  const std::size_t within_sign = whole.find("\u20ac") + 1;
  for (const auto extra : {UsageStream::Extra::passes, UsageStream::Extra::is_removed}) {
    UsageStream reader(extra);
    EXPECT_EQ(reader.feed(whole.substr(0, within_sign)), whole.substr(0, within_sign));
    EXPECT_EQ(reader.feed(whole.substr(within_sign, 4)), whole.substr(within_sign, 4));
    EXPECT_EQ(reader.feed(whole.substr(within_sign + 4)), whole.substr(within_sign + 4));
    EXPECT_EQ(reader.piece_count(), 1u);
  }
}

TEST(UsageStream, a_beginning_that_may_become_the_usage_event_waits_and_comes_at_the_end) {
  UsageStream reader(UsageStream::Extra::is_removed);
  EXPECT_EQ(reader.feed(piece + "data: {\"choices\":["), piece);
  EXPECT_EQ(reader.feed("]"), "");
  EXPECT_EQ(reader.finish(), "data: {\"choices\":[]");
  UsageStream other(UsageStream::Extra::is_removed);
  EXPECT_EQ(other.feed("data: {\"choices\":["), "");
  EXPECT_EQ(other.feed("{"), "data: {\"choices\":[{");
}

TEST(UsageStream, an_event_is_not_kept_back_without_end) {
  UsageStream reader(UsageStream::Extra::is_removed);
  std::string passed(reader.feed("data: {\"x\":\""));
  const std::string text(1000, 'x');
  for (int i = 0; i < 20; ++i) passed += reader.feed(text);
  EXPECT_EQ(passed.size(), 12 + 20 * text.size());
}

TEST(UsageStream, counts_what_brought_a_piece_of_the_answer) {
  const std::string responses =
      "event: response.created\ndata: {\"response\":{\"usage\":null}}\n\n"
      "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\n"
      "event: response.output_text.delta\ndata: {\"delta\":\"b\"}\n\n"
      "event: response.completed\ndata: {\"response\":{\"usage\":{\"input_tokens\":9,"
      "\"output_tokens\":2}}}\n\n";
  for (const std::size_t size : {std::size_t{7}, responses.size()}) {
    const Passed passed = pass(responses, UsageStream::Extra::passes, size);
    EXPECT_EQ(passed.reported, (ReportedTokens{.prompt = 9, .cached = {}, .completion = 2}));
  }
  EXPECT_EQ(pass(responses, UsageStream::Extra::passes, responses.size()).piece_count, 2u);
  EXPECT_EQ(pass(piece + ": x\n\n" + piece + final_usage + done, UsageStream::Extra::passes, 9)
                .piece_count,
            2u);
}

// --- Asking for it -------------------------------------------------------------------------------

AnswerWish wish_of(std::string body) {
  JsonPeek peek;
  AnswerWish wish;
  EXPECT_TRUE(std::holds_alternative<ModelField>(peek.find_model(body, &wish))) << body;
  return wish;
}
std::string asking(std::string body) {
  const AnswerWish wish = wish_of(body);
  return body.replace(wish.ask_begin, wish.ask_end - wish.ask_begin, wish.ask);
}

TEST(AnswerWish, S03_a_body_is_made_to_ask_for_usage_with_every_other_byte_as_it_was) {
  EXPECT_EQ(asking(R"( { "model":"m", "stream" : true})"),
            R"( {"stream_options":{"include_usage":true}, "model":"m", "stream" : true})");
  EXPECT_EQ(asking(R"({"stream_options":null,"model":"m"})"),
            R"({"stream_options":{"include_usage":true},"model":"m"})");
  EXPECT_EQ(asking(R"({"model":"m","stream_options": { } })"),
            R"({"model":"m","stream_options": {"include_usage":true } })");
  EXPECT_EQ(asking(R"({"model":"m","stream_options":{"x":[1,{}]}})"),
            R"({"model":"m","stream_options":{"include_usage":true,"x":[1,{}]}})");
  EXPECT_EQ(asking(R"({"model":"m","stream_options":{"x":1,"include_usage": false}})"),
            R"({"model":"m","stream_options":{"x":1,"include_usage": true}})");
}

TEST(AnswerWish, S01_a_body_that_asks_itself_stays_as_it_is) {
  for (const std::string body :
       {R"({"model":"m","stream_options":{"include_usage":true}})",
        R"({"model":"m","stream_options":{"include_usage":true,"a":{}}})"}) {
    EXPECT_TRUE(wish_of(body).is_usage_wanted);
    EXPECT_EQ(asking(body), body);
  }
  for (const std::string body :
       {R"({"model":"m","stream_options":{"continuous_usage_stats":true}})",
        R"({"model":"m","stream_options":{"include_usage":1}})",
        R"({"model":"m","stream_options":7})",
        R"({"model":"m","stream_options":{},"stream_options":{}})"}) {
    EXPECT_FALSE(wish_of(body).is_usage_wanted) << body;
    const AnswerWish wish = wish_of(body);
    EXPECT_TRUE(wish.ask.empty()) << body;
  }
}

TEST(AnswerWish, says_whether_it_streams_and_how_many_tokens_it_wants) {
  EXPECT_TRUE(wish_of(R"({"stream":true,"model":"m"})").is_stream);
  EXPECT_FALSE(wish_of(R"({"stream":"true","model":"m"})").is_stream);
  EXPECT_EQ(wish_of(R"({"max_tokens":9,"model":"m"})").tokens_max, 9u);
  EXPECT_EQ(wish_of(R"({"max_completion_tokens":8,"model":"m"})").tokens_max, 8u);
  EXPECT_EQ(wish_of(R"({"max_tokens":null,"max_output_tokens":-3,"model":"m"})").tokens_max, 0u);
}

TEST(AnswerWish, S03_follows_the_replacement_of_the_model) {
  for (std::string body : {R"({"model":"m","stream":true,"stream_options":{}})",
                           R"({"stream_options":{},"stream":true,"model":"m"})"}) {
    JsonPeek peek;
    AnswerWish wish;
    const ModelField found = std::get<ModelField>(peek.find_model(body, &wish));
    const std::size_t before = body.size();
    replace_json_model(body, found, "longer");
    follow_replacement(wish, found, before, body.size());
    body.replace(wish.ask_begin, wish.ask_end - wish.ask_begin, wish.ask);
    EXPECT_NE(body.find(R"("stream_options":{"include_usage":true})"), std::string::npos) << body;
    EXPECT_NE(body.find(R"("model":"longer")"), std::string::npos) << body;
  }
}

}  // namespace
}  // namespace staithe::gateway
