#include "base/log.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/unique_fd.h"

namespace staithe {
namespace {

// Keeps what each write brought apart.
class Writes {
 public:
  Writes() {
    std::array<int, 2> fds{};
    CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0);
    near_ = UniqueFd(fds[0]);
    far_ = UniqueFd(fds[1]);
  }
  int fd() const { return near_.get(); }
  std::vector<std::string> take() const {
    std::vector<std::string> writes;
    std::array<char, 64 * 1024> buffer{};
    while (true) {
      const ssize_t size = ::recv(far_.get(), buffer.data(), buffer.size(), 0);
      if (size <= 0) return writes;
      writes.emplace_back(buffer.data(), static_cast<std::size_t>(size));
    }
  }

 private:
  UniqueFd near_;
  UniqueFd far_;
};

std::size_t line_count(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(Log, a_line_is_one_write_of_json) {
  const Writes writes;
  const Log log(writes.fd());
  log.warning("it \"broke\"", {{"path", "/a\nb"}, {"count", 7}, {"text", std::string("x")}});
  log.debug("unseen");
  const auto written = writes.take();
  ASSERT_EQ(written.size(), 1u);
  EXPECT_TRUE(written[0].starts_with(R"({"time":"20)")) << written[0];
  EXPECT_TRUE(written[0].ends_with(
      R"(Z","level":"warning","event":"it \"broke\"","path":"/a\nb","count":"7","text":"x"})"
      "\n"))
      << written[0];
}

TEST(LogBatch, lines_are_written_together_in_whole_lines_that_a_pipe_takes_at_once) {
  const Writes writes;
  const Log log(writes.fd());
  LogBatch batch(log);
  for (int i = 0; i < 100; ++i) batch.info("request", {{"n", i}, {"id", std::string(200, 'x')}});
  batch.write();
  const auto written = writes.take();
  EXPECT_LT(written.size(), 12u);
  std::string all;
  for (const std::string& one : written) {
    EXPECT_LE(one.size(), 4096u);
    EXPECT_TRUE(one.ends_with("}\n"));
    all += one;
  }
  EXPECT_EQ(line_count(all), 100u);
  std::size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    at = all.find("\"n\":\"" + std::to_string(i) + "\"", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  batch.write();
  EXPECT_TRUE(writes.take().empty());
}

TEST(LogBatch, a_line_that_is_too_long_is_written_whole_and_alone) {
  const Writes writes;
  const Log log(writes.fd());
  {
    LogBatch batch(log);
    batch.info("short", {});
    batch.info("long", {{"text", std::string(10'000, 'x')}});
    batch.info("last", {});
  }
  const auto written = writes.take();
  ASSERT_EQ(written.size(), 3u);
  EXPECT_NE(written[0].find("short"), std::string::npos);
  EXPECT_GT(written[1].size(), 10'000u);
  EXPECT_EQ(line_count(written[1]), 1u);
  EXPECT_NE(written[2].find("last"), std::string::npos);
}

TEST(LogBatch, lines_below_the_level_are_not_kept) {
  const Writes writes;
  const Log log(writes.fd(), LogLevel::warning);
  LogBatch batch(log);
  batch.info("request", {});
  batch.write();
  EXPECT_TRUE(writes.take().empty());
}

}  // namespace
}  // namespace staithe
