#include "auth/token_record.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace staithe::auth {
namespace {

Token make_stored() {
  return {.id = "t1",
          .name = "ci",
          .hash = hash_token("secret"),
          .organization = "cw1a2b",
          .role = Role::admin,
          .expires_at = Timestamp{std::chrono::microseconds{5}},
          .created_at = Timestamp{std::chrono::microseconds{4}}};
}

TEST(MakeToken, is_43_url_safe_characters_after_the_prefix_and_differs) {
  SeededRandom random(1);
  const std::string one = make_token_text(random);
  ASSERT_TRUE(one.starts_with("CW-SECRET-"));
  EXPECT_EQ(one.size(), 10u + 43u);
  EXPECT_EQ(base64_decode(one.substr(10))->size(), 32u);
  EXPECT_EQ(one.find_first_of("+/="), std::string::npos);
  EXPECT_NE(one, make_token_text(random));
}

TEST(TokenText, keeps_every_field_and_not_the_token) {
  for (const std::optional<Timestamp> expires_at :
       {make_stored().expires_at, std::optional<Timestamp>()}) {
    Token token = make_stored();
    token.expires_at = expires_at;
    EXPECT_EQ(*decode_token(encode_token(token)), token);
  }
  EXPECT_EQ(encode_token(make_stored()).find("secret"), std::string::npos);
}

TEST(TokenText, answers_data_loss_for_what_it_cannot_read) {
  const std::string hash = base64(hash_token("x"));
  for (const std::string& text :
       {std::string("{"), std::string("{}"), std::string(R"({"hash":"YWJj"})"),
        R"({"role":0,"hash":")" + hash + "\"}", R"({"role":3,"hash":")" + hash + "\"}"}) {
    const Result<Token> decoded = decode_token(text);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code, Code::data_loss);
  }
}

TEST(Organization, follows_the_documented_pattern) {
  for (const char* text : {"cw1a2b", "s12345", "qabcde", "poc123", "abcdef", "012345"}) {
    EXPECT_TRUE(is_organization_id(text)) << text;
  }
  for (const char* text : {"", "cw1a2", "cw1a2bc", "CW1A2B", "cwxyz1", "sxyzab", "pocxyz", "xyz123",
                           "po1234", "cw 123"}) {
    EXPECT_FALSE(is_organization_id(text)) << text;
  }
}

TEST(ParseBootstrapToken, makes_a_token_that_never_expires) {
  const Timestamp now{std::chrono::microseconds{7}};
  const Token token = *parse_bootstrap_token("test=cw1a2b:admin", now);
  EXPECT_EQ(token, (Token{.id = "bootstrap-cw1a2b-admin",
                          .name = "bootstrap",
                          .hash = hash_token("test"),
                          .organization = "cw1a2b",
                          .role = Role::admin,
                          .created_at = now}));
  EXPECT_EQ(parse_bootstrap_token("test=cw1a2b:VIEWER", now)->role, Role::viewer);
}

TEST(ParseBootstrapToken, lets_the_token_contain_equals_signs_and_colons) {
  EXPECT_EQ(parse_bootstrap_token("a=b:c===cw1a2b:admin", {})->hash, hash_token("a=b:c=="));
}

TEST(ParseBootstrapToken, says_what_is_wrong_and_never_quotes_the_token) {
  const std::pair<std::string, std::string> cases[] = {
      {"sesame", "TOKEN=ORGANIZATION:ROLE"},
      {"sesame=cw1a2b", "TOKEN=ORGANIZATION:ROLE"},
      {"sesame:cw1a2b=admin", "TOKEN=ORGANIZATION:ROLE"},
      {"=cw1a2b:admin", "printable"},
      {"open sesame=cw1a2b:admin", "printable"},
      {std::string(token_bytes_max + 1, 'a') + "=cw1a2b:admin", "4096"},
      {"sesame=acme:admin", "organization"},
      {"sesame=cw1a2b:owner", "viewer or admin"},
      {"sesame=cw1a2b:", "viewer or admin"},
      {"sesame=cw1a2b:admin:x", "viewer or admin"}};
  for (const auto& [text, hint] : cases) {
    const auto parsed = parse_bootstrap_token(text, {});
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::invalid_argument);
    EXPECT_NE(parsed.error().message.find(hint), std::string::npos) << parsed.error().message;
    EXPECT_EQ(parsed.error().message.find("sesame"), std::string::npos);
  }
}

}  // namespace
}  // namespace staithe::auth
