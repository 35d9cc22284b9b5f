#include "net/outgoing_bytes.h"

#include <gtest/gtest.h>

#include <string>

namespace staithe::net {
namespace {

const std::size_t no_memory = std::string().capacity();

TEST(OutgoingBytes, what_is_taken_leaves_the_rest) {
  const SystemClock clock;
  EventLoop loop(clock);
  OutgoingBytes bytes;
  bytes.back(loop) += "one two";
  bytes.take(4, loop);
  bytes.back(loop) += " three";
  EXPECT_EQ(bytes.view(), "two three");
  EXPECT_EQ(bytes.size(), 9u);
}

TEST(OutgoingBytes, keeps_no_memory_once_everything_is_taken_or_cleared) {
  const SystemClock clock;
  EventLoop loop(clock);
  for (const std::size_t size : {100u, 1'000u, 100'000u}) {
    OutgoingBytes bytes;
    bytes.back(loop).append(size, 'x');
    bytes.take(size, loop);
    EXPECT_TRUE(bytes.is_empty());
    EXPECT_EQ(bytes.back().capacity(), no_memory);
    bytes.back().append(size, 'x');
    bytes.clear();
    EXPECT_EQ(bytes.back().capacity(), no_memory);
  }
}

TEST(SpareTexts, memory_goes_from_one_to_the_next_and_is_bounded) {
  const SystemClock clock;
  EventLoop loop(clock);
  EXPECT_EQ(loop.take_spare_text().capacity(), no_memory);
  std::string text(2'000, 'x');
  const char* const memory = text.data();
  loop.give_spare_text(std::move(text));
  std::string again = loop.take_spare_text();
  EXPECT_EQ(again.data(), memory);
  EXPECT_TRUE(again.empty());
  loop.give_spare_text(std::string(1'000'000, 'x'));
  EXPECT_EQ(loop.take_spare_text().capacity(), no_memory);
  for (int i = 0; i < 1'000; ++i) loop.give_spare_text(std::string(1'000, 'x'));
  std::size_t kept = 0;
  while (loop.take_spare_text().capacity() > no_memory) ++kept;
  EXPECT_GT(kept, 0u);
  EXPECT_LE(kept, 64u);
}

}  // namespace
}  // namespace staithe::net
