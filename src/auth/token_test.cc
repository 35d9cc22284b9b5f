#include <gtest/gtest.h>

#include "auth/token_record.h"
#include "auth/token_table.h"

namespace staithe::auth {
namespace {

const Timestamp now{std::chrono::seconds{1'795'575'353}};

std::shared_ptr<const TokenSnapshot> snapshot_of(std::string_view bootstrap,
                                                 std::optional<Timestamp> expires_at = {}) {
  Token token = *parse_bootstrap_token(bootstrap, now);
  token.expires_at = expires_at;
  return std::make_shared<const TokenSnapshot>(std::vector<Token>{token});
}

TEST(TokenTable, knows_a_token_with_its_organization_and_role) {
  TokenTable table;
  table.replace(snapshot_of("test=cw1a2b:viewer"));
  const auto principal = table.authenticate("Bearer test", now);
  ASSERT_TRUE(principal);
  EXPECT_EQ(principal->organization, "cw1a2b");
  EXPECT_TRUE(principal->may(Role::viewer));
  EXPECT_FALSE(principal->may(Role::admin));
}

TEST(TokenTable, reads_the_scheme_in_any_letter_case_and_no_other) {
  TokenTable table;
  table.replace(snapshot_of("test=cw1a2b:admin"));
  EXPECT_TRUE(table.authenticate("bEARER  test", now));
  for (const char* header : {"", "test", "Bearer", "Bearer ", "Basic test", "Bearertest",
                             "Bearer tes", "Bearer test2"}) {
    EXPECT_FALSE(table.authenticate(header, now)) << header;
  }
  EXPECT_FALSE(table.authenticate("Bearer " + std::string(5000, 'a'), now));
}

TEST(TokenTable, forgets_a_token_when_it_expires) {
  TokenTable table;
  table.replace(snapshot_of("test=cw1a2b:admin", now + std::chrono::seconds{10}));
  EXPECT_TRUE(table.authenticate("Bearer test", now));
  EXPECT_FALSE(table.authenticate("Bearer test", now + std::chrono::seconds{10}));
}

TEST(BootstrapToken, splits_at_the_last_equals_sign) {
  const Token token = *parse_bootstrap_token("a=b=cw1a2b:ADMIN", now);
  EXPECT_EQ(token.hash, hash_token("a=b"));
  EXPECT_EQ(token.role, Role::admin);
}

TEST(BootstrapToken, says_what_is_wrong_without_repeating_the_token) {
  for (const char* text : {"", "secret", "secret=cw1a2b", "=cw1a2b:admin", "secret=nope:admin",
                           "secret=cw1a2b:owner"}) {
    const auto token = parse_bootstrap_token(text, now);
    ASSERT_FALSE(token) << text;
    EXPECT_EQ(token.error().message.find("secret"), std::string::npos);
  }
}

TEST(Token, survives_its_record_and_its_text_is_not_in_it) {
  SeededRandom random(7);
  const std::string text = make_token_text(random);
  EXPECT_EQ(text.size(), 10u + 43u);
  Token token{.id = "t1",
              .name = "ci",
              .hash = hash_token(text),
              .organization = "cw1a2b",
              .role = Role::admin,
              .expires_at = now,
              .created_at = now};
  const std::string record = encode_token(token);
  EXPECT_EQ(record.find(text), std::string::npos);
  const Token read = *decode_token(record);
  EXPECT_EQ(read.hash, token.hash);
  EXPECT_EQ(read.role, Role::admin);
  EXPECT_EQ(read.expires_at, now);
  EXPECT_FALSE(decode_token("{}"));
  EXPECT_FALSE(decode_token("no"));
}

TEST(OrganizationId, has_the_published_forms) {
  for (const char* good : {"cw4637", "s12345", "qabcde", "poc123", "0a1b2c"})
    EXPECT_TRUE(is_organization_id(good));
  for (const char* bad : {"", "cw463", "cw46377", "cwxyzw", "CW4637", "t12345"})
    EXPECT_FALSE(is_organization_id(bad));
}

}  // namespace
}  // namespace staithe::auth
