#include "gateway/body_peek.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace staithe::gateway {
namespace {

Peeked json(std::string body) {
  JsonPeek peek;
  Prefix prompt;
  return peek.find_model(body, nullptr, &prompt);
}
Peeked problem(PeekProblem one) {
  return one;
}

TEST(JsonPeek, finds_the_name_and_where_it_stands) {
  std::string body = R"({"a":{"model":"inner"},"model" : "x/y", "b":[1]})";
  JsonPeek peek;
  Prefix prompt;
  const ModelField found = std::get<ModelField>(peek.find_model(body, nullptr, &prompt));
  EXPECT_EQ(found.name, "x/y");
  EXPECT_EQ(body.substr(found.begin, found.end - found.begin), "\"x/y\"");
  replace_json_model(body, found, "a \"quoted\" one");
  EXPECT_EQ(body, R"({"a":{"model":"inner"},"model" : "a \"quoted\" one", "b":[1]})");
}

TEST(JsonPeek, reads_escapes_and_ends_the_value_at_its_own_quote) {
  std::string body = R"({"model":"a\\\"\u00e9","n":"\""})";
  JsonPeek peek;
  Prefix prompt;
  const ModelField found = std::get<ModelField>(peek.find_model(body, nullptr, &prompt));
  EXPECT_EQ(found.name, "a\\\"\u00e9");
  EXPECT_EQ(body.substr(found.begin, found.end - found.begin), R"("a\\\"\u00e9")");
}

TEST(JsonPeek, tells_what_is_wrong) {
  EXPECT_EQ(json(""), problem(PeekProblem::not_json));
  EXPECT_EQ(json("{"), problem(PeekProblem::not_json));
  EXPECT_EQ(json(R"({"model":"a")"), problem(PeekProblem::not_json));
  EXPECT_EQ(json(R"({"model":"a)"), problem(PeekProblem::not_json));
  EXPECT_EQ(json(R"({"model":"a"} {})"), problem(PeekProblem::not_json));
  EXPECT_EQ(json(R"({"model":"a"}x)"), problem(PeekProblem::not_json));
  EXPECT_EQ(json(R"({"model" "a"})"), problem(PeekProblem::not_json));
  EXPECT_EQ(json("{\"model\":\"\xff\"}"), problem(PeekProblem::not_json));
  EXPECT_EQ(json("[]"), problem(PeekProblem::not_an_object));
  EXPECT_EQ(json("\"model\""), problem(PeekProblem::not_an_object));
  EXPECT_EQ(json("12"), problem(PeekProblem::not_an_object));
  EXPECT_EQ(json("{}"), problem(PeekProblem::missing));
  EXPECT_EQ(json(R"({"model":""})"), problem(PeekProblem::missing));
  EXPECT_EQ(json(R"({"Model":"a"})"), problem(PeekProblem::missing));
  EXPECT_EQ(json(R"({"model":null})"), problem(PeekProblem::not_a_string));
  EXPECT_EQ(json(R"({"model":["a"]})"), problem(PeekProblem::not_a_string));
  EXPECT_EQ(json(R"({"model":"a","x":1,"mod\u0065l":"a"})"), problem(PeekProblem::repeated));
}

TEST(JsonPeek, takes_large_and_deep_bodies) {
  const std::string large = R"({"p":")" + std::string(3'000'000, 'x') + R"(","model":"a"})";
  EXPECT_EQ(std::get<ModelField>(json(large)).name, "a");
  const std::string deep =
      R"({"p":)" + std::string(100'000, '[') + std::string(100'000, ']') + R"(,"model":"a"})";
  const Peeked peeked = json(deep);
  EXPECT_TRUE(std::holds_alternative<ModelField>(peeked) ||
              peeked == problem(PeekProblem::not_json));
}

constexpr std::string_view form_type = "multipart/form-data; boundary=\"b b\"";
std::string part(std::string_view disposition, std::string_view value) {
  return "--b b\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; " +
         std::string(disposition) + "\r\n\r\n" + std::string(value) + "\r\n";
}
const std::string end = "--b b--\r\n";

TEST(MultipartPeek, finds_the_field_and_where_it_stands) {
  std::string body = "preamble\r\n" + part("name=file; filename=\"a;b.wav\"", "--b\r\n--b") +
                     part("name=\"model\"", "x/y") + end;
  const ModelField found = std::get<ModelField>(find_model_in_multipart(body, form_type));
  EXPECT_EQ(found.name, "x/y");
  replace_multipart_model(body, found, "longer");
  EXPECT_EQ(std::get<ModelField>(find_model_in_multipart(body, form_type)).name, "longer");
}

TEST(MultipartPeek, tells_what_is_wrong) {
  const auto peek = [](std::string_view body) { return find_model_in_multipart(body, form_type); };
  EXPECT_EQ(peek(""), problem(PeekProblem::not_multipart));
  EXPECT_EQ(peek("--b b"), problem(PeekProblem::not_multipart));
  EXPECT_EQ(peek("--b b\r\n\r\nno end"), problem(PeekProblem::not_multipart));
  EXPECT_EQ(peek(part("name=model", "a")), problem(PeekProblem::not_multipart));
  EXPECT_EQ(peek(end), problem(PeekProblem::missing));
  EXPECT_EQ(peek(part("name=\"model\"; filename=\"m\"", "a") + end), problem(PeekProblem::missing));
  EXPECT_EQ(peek(part("name=\"model\"", "") + end), problem(PeekProblem::missing));
  EXPECT_EQ(peek(part("name=model", "a") + part("name=model", "a") + end),
            problem(PeekProblem::repeated));
  EXPECT_EQ(find_model_in_multipart(end, "multipart/form-data"),
            problem(PeekProblem::not_multipart));
}

TEST(MediaType, is_read_without_its_parameters_and_letter_case) {
  EXPECT_TRUE(is_json(""));
  EXPECT_TRUE(is_json("Application/JSON; charset=utf-8"));
  EXPECT_TRUE(is_json("application/problem+json"));
  EXPECT_FALSE(is_json("text/plain"));
  EXPECT_TRUE(is_multipart_form("Multipart/Form-Data;boundary=x"));
  EXPECT_FALSE(is_multipart_form("multipart/mixed; boundary=x"));
}

// --- Prompts -------------------------------------------------------------------------------------

Prefix prompt_of(std::string body) {
  JsonPeek peek;
  Prefix prompt;
  EXPECT_TRUE(std::holds_alternative<ModelField>(peek.find_model(body, nullptr, &prompt)));
  return prompt;
}
bool is_same(const Prefix& a, const Prefix& b) {
  return std::equal(a.hashes().begin(), a.hashes().end(), b.hashes().begin(), b.hashes().end());
}
const std::string long_text(3000, 'x');

TEST(JsonPeek, takes_the_prompt_as_it_is_written) {
  const std::string messages = R"([{"role":"user","content":")" + long_text + R"("}])";
  EXPECT_EQ(prompt_of(R"({"model":"m","messages":)" + messages + "}").size_bytes(),
            messages.size());
  EXPECT_EQ(prompt_of(R"({"prompt":")" + long_text + R"(","model":"m"})").size_bytes(), 3002u);
  EXPECT_EQ(prompt_of(R"({"input":["a","b"],"model":"m"})").size_bytes(), 9u);
  EXPECT_EQ(prompt_of(R"({"input":{"a":[1]},"model":"m"})").size_bytes(), 9u);
  for (const auto body : {R"({"model":"m"})", R"({"model":"m","prompt":null})",
                          R"({"model":"m","other":{"messages":["x"]}})"}) {
    EXPECT_TRUE(prompt_of(body).is_empty()) << body;
  }
}

TEST(JsonPeek, the_next_turn_of_a_conversation_begins_with_the_last) {
  const std::string turn = R"([{"role":"user","content":")" + long_text + R"("})";
  const Prefix first = prompt_of(R"({"model":"m","messages":)" + turn + "]}");
  const Prefix second = prompt_of(R"({"messages":)" + turn + R"(,{"role":"assistant","content":")" +
                                  long_text + R"("}],"model":"m"})");
  ASSERT_GT(first.hashes().size(), 1u);
  EXPECT_TRUE(std::equal(first.hashes().begin(), first.hashes().end(), second.hashes().begin()));
}

TEST(JsonPeek, tools_come_before_messages_wherever_they_are_written) {
  const std::string tools = R"("tools":[{"name":")" + long_text + R"("}])";
  const std::string messages = R"("messages":[")" + long_text + R"("])";
  const Prefix one = prompt_of("{" + tools + "," + messages + R"(,"model":"m"})");
  EXPECT_TRUE(is_same(one, prompt_of(R"({"model":"m",)" + messages + "," + tools + "}")));
  EXPECT_FALSE(is_same(one, prompt_of(R"({"model":"m",)" + messages + "}")));
}

TEST(JsonPeek, a_cache_salt_sets_a_prompt_apart) {
  const std::string rest = R"("prompt":")" + long_text + R"(","model":"m"})";
  EXPECT_FALSE(is_same(prompt_of("{" + rest), prompt_of(R"({"cache_salt":"a",)" + rest)));
  EXPECT_FALSE(is_same(prompt_of(R"({"cache_salt":"b",)" + rest),
                       prompt_of(R"({"cache_salt":"a",)" + rest)));
}

TEST(JsonPeek, a_prompt_without_an_end_is_no_json) {
  for (const auto body : {R"({"model":"m","messages":[{"a":1})", R"({"model":"m","prompt":"x)",
                          R"({"messages":[[[,"model":"m"})", R"({"input":{"a":)"}) {
    EXPECT_EQ(json(body), problem(PeekProblem::not_json)) << body;
  }
}

}  // namespace
}  // namespace staithe::gateway
