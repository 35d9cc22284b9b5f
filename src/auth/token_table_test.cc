#include "auth/token_table.h"

#include <gtest/gtest.h>

namespace staithe::auth {
namespace {

Timestamp at(int seconds) {
  return Timestamp{std::chrono::seconds{seconds}};
}

std::shared_ptr<const TokenSnapshot> make_snapshot() {
  return std::make_shared<TokenSnapshot>(std::vector<Token>{{.id = "t1",
                                                             .name = "ci",
                                                             .hash = hash_token("one"),
                                                             .organization = "cw1a2b",
                                                             .role = Role::admin},
                                                            {.id = "t2",
                                                             .name = "old",
                                                             .hash = hash_token("two"),
                                                             .organization = "s12345",
                                                             .role = Role::viewer,
                                                             .expires_at = at(100)}});
}

TEST(Role, admin_may_what_viewer_may_and_not_the_other_way_round) {
  EXPECT_TRUE(Principal{.role = Role::admin}.may(Role::viewer));
  EXPECT_TRUE(Principal{.role = Role::viewer}.may(Role::viewer));
  EXPECT_FALSE(Principal{.role = Role::viewer}.may(Role::admin));
}

TEST(TokenTable, knows_nobody_at_first) {
  EXPECT_FALSE(TokenTable().authenticate("Bearer one", at(1)));
}

TEST(TokenTable, finds_the_principal_of_a_known_token) {
  TokenTable table;
  table.replace(make_snapshot());
  EXPECT_EQ(
      table.authenticate("bearer one", at(1)),
      (Principal{
          .organization = "cw1a2b", .role = Role::admin, .token_id = "t1", .token_name = "ci"}));
}

TEST(TokenTable, knows_nobody_by_an_unknown_or_malformed_credential) {
  TokenTable table;
  table.replace(make_snapshot());
  for (const std::string& value :
       {std::string(), std::string("one"), std::string("Bearer "), std::string("Bearer One"),
        std::string("Basic one"), std::string("Bearer one two"), "Bearer " + hash_token("one"),
        "Bearer " + std::string(1'000'000, 'x')}) {
    EXPECT_FALSE(table.authenticate(value, at(1)));
  }
}

TEST(TokenTable, a_token_ends_at_its_expiry) {
  TokenTable table;
  table.replace(make_snapshot());
  EXPECT_TRUE(table.authenticate("Bearer two", at(99)));
  EXPECT_FALSE(table.authenticate("Bearer two", at(100)));
}

TEST(TokenTable, a_token_that_was_revoked_stops_working_with_the_next_snapshot) {
  TokenTable table;
  table.replace(make_snapshot());
  const auto before = table.snapshot();
  table.replace(std::make_shared<TokenSnapshot>(std::vector<Token>{}));
  EXPECT_FALSE(table.authenticate("Bearer one", at(1)));
  EXPECT_TRUE(before->find(hash_token("one"), at(1))) << "a snapshot never changes";
}

}  // namespace
}  // namespace staithe::auth
