#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <semaphore>
#include <set>

#include "base/random.h"
#include "store/sqlite/test_setting.h"

namespace staithe::store {
namespace {

constexpr std::ptrdiff_t in_flight_max = 64;

std::string first_id(int round, std::uint32_t number) {
  return fmt::format("{}-{}", round, number);
}
std::string second_id(int round, std::uint32_t number) {
  return first_id(round, number) + "-twin";
}

// Commits pairs of records for ever, many at a time, and writes each number to `acknowledgements`
// once its commit was acknowledged. Never returns.
[[noreturn]] void commit_until_killed(SqliteSetting& setting, int round, int acknowledgements) {
  auto store = setting.try_open();
  if (!store) ::_exit(1);
  std::counting_semaphore<in_flight_max> in_flight(in_flight_max);
  for (std::uint32_t number = 0;; ++number) {
    in_flight.acquire();
    const std::string id = first_id(round, number);
    (*store)->commit({make_create(id, {{"dns", id}}), make_create(second_id(round, number))},
                     [number, acknowledgements, &in_flight](const Result<Commit>& result) {
                       if (!result) ::_exit(1);
                       const ssize_t size = ::write(acknowledgements, &number, sizeof number);
                       if (size != sizeof number) ::_exit(1);
                       in_flight.release();
                     });
  }
}

// Reads acknowledgements: at most `count`, or all that are left once the writer is gone.
void read_numbers(int fd, std::size_t count, std::set<std::uint32_t>& numbers) {
  std::uint32_t number = 0;
  while (count > 0 && ::read(fd, &number, sizeof number) == sizeof number) {
    numbers.insert(number);
    --count;
  }
}

TEST(Durability, every_acknowledged_commit_survives_kill_9) {
  SqliteSetting setting;
  SeededRandom random(20'261'125);
  for (int round = 0; round < 20; ++round) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    UniqueFd reading(ends[0]);
    UniqueFd writing(ends[1]);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      reading.reset();
      commit_until_killed(setting, round, writing.get());
    }
    writing.reset();
    std::set<std::uint32_t> acknowledged;
    read_numbers(reading.get(), 1 + random.below(300), acknowledged);
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed by itself";
    read_numbers(reading.get(), SIZE_MAX, acknowledged);
    ASSERT_FALSE(acknowledged.empty());

    const auto store = setting.open();
    std::set<std::string> present;
    const std::vector<Record> records = *store->list(Kind::claim);
    for (const Record& record : records) present.insert(record.id);
    for (const std::uint32_t number : acknowledged) {
      ASSERT_TRUE(present.contains(first_id(round, number))) << "round " << round;
      ASSERT_TRUE(*store->find({"dns", first_id(round, number)}));
    }
    const auto twin_count = std::count_if(present.begin(), present.end(),
                                          [](const auto& id) { return id.ends_with("-twin"); });
    EXPECT_EQ(present.size(), 2u * static_cast<std::size_t>(twin_count)) << "no half transaction";
  }
}

}  // namespace
}  // namespace staithe::store
