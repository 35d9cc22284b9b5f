#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/memory/memory_store.h"
#include "store/sqlite/sqlite_store.h"
#include "store/store.h"
#include "store/test_directory.h"

// What the contract tests share: each store in turn, and short ways to say what is committed.
namespace staithe::store {

inline constexpr std::size_t few_tombstones = 3;

// What a store needs to live, so that each test gets a fresh one.
struct Setting {
  TestDirectory directory;
  FakeClock clock;
  Log log;
};

struct Implementation {
  std::string name;
  std::function<std::unique_ptr<Store>(Setting&, std::size_t tombstones_max)> make;

  friend void PrintTo(const Implementation& implementation, std::ostream* out) {
    *out << implementation.name;
  }
};

inline std::unique_ptr<Store> make_memory(Setting&, std::size_t tombstones_max) {
  return std::make_unique<MemoryStore>(tombstones_max);
}

inline std::unique_ptr<Store> make_sqlite(Setting& setting, std::size_t tombstones_max) {
  auto store = open_sqlite_store(setting.directory.database(), {.tombstones_max = tombstones_max},
                                 setting.clock, setting.log);
  CHECK_THAT(store.has_value(), store.error().message);
  return std::move(store).value();
}

class StoreContract : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override { store_ = GetParam().make(setting_, 100'000); }

  Store& store() { return *store_; }
  void reopen_with_few_tombstones() {
    store_.reset();
    store_ = GetParam().make(setting_, few_tombstones);
  }

  std::uint64_t commit(Transaction transaction) {
    const Result<Commit> result = store().commit_and_wait(std::move(transaction));
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result ? result->revision : 0;
  }
  Error refused(Transaction transaction) {
    const Result<Commit> result = store().commit_and_wait(std::move(transaction));
    EXPECT_FALSE(result);
    return result ? Error{} : result.error();
  }
  Record present(std::string_view id, Kind kind = Kind::claim) {
    const auto record = store().get(kind, id);
    EXPECT_TRUE(record && *record) << id;
    return record && *record ? **record : Record{};
  }
  bool is_absent(std::string_view id, Kind kind = Kind::claim) {
    const auto record = store().get(kind, id);
    return record && !*record;
  }

  Setting setting_;
  std::unique_ptr<Store> store_;
};

inline Timestamp at(int seconds) {
  return Timestamp{std::chrono::seconds{seconds}};
}

inline Create create(std::string id, std::vector<UniqueKey> keys = {},
                     std::string organization = "cw1a2b", int seconds = 1) {
  return {.kind = Kind::claim,
          .id = std::move(id),
          .organization = std::move(organization),
          .spec = "spec",
          .status = "status",
          .created_at = at(seconds),
          .keys = std::move(keys)};
}

inline Update touch(std::string id, std::uint64_t version) {
  return {.kind = Kind::claim,
          .id = std::move(id),
          .version = version,
          .spec = std::nullopt,
          .status = "touched",
          .keys = std::nullopt};
}

inline Update rekey(std::string id, std::uint64_t version, std::vector<UniqueKey> keys) {
  return {.kind = Kind::claim,
          .id = std::move(id),
          .version = version,
          .spec = std::nullopt,
          .status = std::nullopt,
          .keys = std::move(keys)};
}

inline Remove remove(std::string id, std::uint64_t version) {
  return {.kind = Kind::claim, .id = std::move(id), .version = version};
}

inline Expect expect(std::string id, std::uint64_t version) {
  return {.kind = Kind::claim, .id = std::move(id), .version = version};
}

using Labels = std::vector<std::string>;

inline Labels ids(const Result<std::vector<Record>>& records) {
  Labels out;
  for (const Record& record : *records) out.push_back(record.id);
  return out;
}

inline auto all_stores() {
  return testing::Values(Implementation{"Memory", make_memory},
                         Implementation{"Sqlite", make_sqlite});
}

inline std::string store_name(const testing::TestParamInfo<Implementation>& tested) {
  return tested.param.name;
}

}  // namespace staithe::store
