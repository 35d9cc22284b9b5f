#include "service/rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace staithe::service::rules {
namespace {

struct Table {
  bool (*rule)(std::string_view);
  std::vector<std::string> accepted;
  std::vector<std::string> refused;
};

void expect(const Table& table) {
  for (const std::string& text : table.accepted)
    EXPECT_TRUE(table.rule(text)) << '"' << text << '"';
  for (const std::string& text : table.refused)
    EXPECT_FALSE(table.rule(text)) << '"' << text << '"';
}

TEST(Rules, a_uuid_has_five_groups_of_hexadecimal_digits) {
  expect({is_uuid,
          {"5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e21", "5B0E7C1E-4A0F-4A5E-9A57-0D3F1C1F8E21",
           "00000000-0000-0000-0000-000000000000"},
          {"", "5b0e7c1e4a0f4a5e9a570d3f1c1f8e21", "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e2",
           "5b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e211", "5b0e7c1g-4a0f-4a5e-9a57-0d3f1c1f8e21",
           "5b0e7c1e_4a0f-4a5e-9a57-0d3f1c1f8e21", "{b0e7c1e-4a0f-4a5e-9a57-0d3f1c1f8e2}"}});
}

TEST(Rules, a_zone_is_region_area_number_and_letters) {
  expect({is_zone,
          {"US-EAST-04A", "EU-SOUTH-03B", "US-LOCAL-01A", "US-W-1ABC", "RNO2A"},
          {"", "us-east-04a", "US-EAST-04", "US-EAST-A", "USA-EAST-04A", "US-EAST04A", "US--04A",
           "US-EAST-04A-", "PDX2A", "RNO2A ", "US-EAST-04A1", "-EAST-04A"}});
}

TEST(Rules, a_host_label_is_at_most_63_characters_without_outer_hyphens) {
  expect({is_host_label,
          {"a", "A-1", "0", std::string(63, 'a')},
          {"", "-a", "a-", "-", "a.b", "a_b", std::string(64, 'a'), "\xC3\xA9"}});
}

TEST(Rules, a_claim_name_is_lower_case) {
  expect({is_claim_name,
          {"a", "team-a", "0", std::string(100, 'a')},
          {"", "Team", "a-", "-a", "a_b", "a b"}});
}

TEST(Rules, a_semantic_version_follows_the_grammar) {
  expect(
      {is_semver,
       {"0.22.0+crwv.2", "1.0.0-rc.1+crwv.2", "1.2.3", "1.2.3-0a", "1.2.3--", "1.2.3+001", "0.0.0"},
       {"", "v1.2.3", "1.2", "01.2.3", "1.2.3-", "1.2.3+", "1.2.3-01", "1.2.3-a..b", "1.2.3.4",
        "1.2.3-a+b+c", "1.2.3 ", "1.2.x"}});
}

TEST(Rules, a_plain_version_has_three_numbers_alone) {
  expect({is_plain_semver, {"0.8.5", "10.0.1"}, {"0.8.5+a", "0.8.5-a", "0.8", "v0.8.5"}});
}

TEST(Rules, a_model_name_takes_the_characters_of_hubs_and_tags) {
  expect({is_model_name, {"meta-llama/Llama-3.1-8B", "a:b_c"}, {"", "a b", "a@b", "a\\b"}});
}

TEST(Rules, keys_and_variables_differ_in_their_characters) {
  expect({is_config_key, {"max-model-len", "a.b_c", "0"}, {"", "a b", "a=b", "a/b"}});
  expect({is_env_name, {"VLLM_X", "_a1"}, {"", "1A", "A-B", "A.B", "A B"}});
}

TEST(Rules, a_hostname_does_not_end_in_a_number_or_a_dot) {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'b');
  expect({is_hostname,
          {"localhost", "api.example.com", "1.example", "xn--bcher-kva.example", longest},
          {"", "example.com.", "a..b", "-a.b", "127.0.0.1", "a.1", "a_b.c", longest + "b",
           "host:80", "*.example.com"}});
}

TEST(Rules, a_uri_is_absolute) {
  expect({is_uri,
          {"https://wandb.example.com", "http://[::1]:8080/a?b#c", "urn:a:b", "http://a/%20"},
          {"", "wandb.example.com", "//host", "/path", "https://", "http:///path", "1a:b",
           "http://a b", "http://a/%2", "http://a/%zz", "http://\xC3\xA9"}});
}

TEST(Rules, a_header_name_is_a_token) {
  expect({is_header_name,
          {"X-Model-Name", "x_model", "!#$%&'*+.^`|~"},
          {"", "X Model", "X:Model", "X-\xC3\xA9", "X(1)"}});
}

TEST(Rules, path_traversal_is_a_segment_of_two_dots) {
  expect({has_path_traversal,
          {"..", "../a", "a/..", "a/../b", "/../a", "/.."},
          {"", "a", "a..b", "..a", "a/..b/c", "a/b..", "..."}});
}

TEST(Rules, length_counts_characters_and_not_bytes) {
  EXPECT_EQ(length(""), 0U);
  EXPECT_EQ(length("abc"), 3U);
  EXPECT_EQ(length("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), 3U);
}

TEST(Rules, quoted_text_is_escaped_and_cut_between_characters) {
  EXPECT_EQ(rules::quoted("a\"b"), "\"a\\\"b\"");
  EXPECT_EQ(rules::quoted(std::string(100, 'a')), '"' + std::string(100, 'a') + '"');
  EXPECT_EQ(rules::quoted(std::string(99, 'a') + "\xC3\xA9"), '"' + std::string(99, 'a') + "...\"");
}

}  // namespace
}  // namespace staithe::service::rules
