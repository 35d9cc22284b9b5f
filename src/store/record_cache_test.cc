#include "store/record_cache.h"

#include <gtest/gtest.h>

namespace staithe::store {
namespace {

Record record(std::string id, std::uint64_t version = 1) {
  return {.kind = Kind::claim, .id = std::move(id), .version = version};
}

TEST(RecordCache, gives_the_same_record_until_it_is_written) {
  RecordCache cache(10);
  EXPECT_EQ(cache.find(Kind::claim, "a"), nullptr);
  cache.keep(record("a"), cache.generation());
  const auto first = cache.find(Kind::claim, "a");
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(cache.find(Kind::claim, "a"), first);
  EXPECT_EQ(cache.find(Kind::gateway, "a"), nullptr);
  cache.forget({Update{.kind = Kind::claim, .id = "a", .version = 1}});
  EXPECT_EQ(cache.find(Kind::claim, "a"), nullptr);
}

TEST(RecordCache, does_not_keep_a_read_that_a_write_overtook) {
  RecordCache cache(10);
  const std::uint64_t before = cache.generation();
  cache.forget({Remove{.kind = Kind::claim, .id = "a", .version = 1}});
  cache.keep(record("a"), before);
  EXPECT_EQ(cache.find(Kind::claim, "a"), nullptr);
}

TEST(RecordCache, drops_what_was_not_read_for_the_longest_time) {
  RecordCache cache(2);
  cache.keep(record("a"), cache.generation());
  cache.keep(record("b"), cache.generation());
  EXPECT_NE(cache.find(Kind::claim, "a"), nullptr);
  cache.keep(record("c"), cache.generation());
  EXPECT_EQ(cache.find(Kind::claim, "b"), nullptr);
  EXPECT_NE(cache.find(Kind::claim, "a"), nullptr);
  EXPECT_NE(cache.find(Kind::claim, "c"), nullptr);
}

}  // namespace
}  // namespace staithe::store
