#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "bench/must.h"
#include "store/sqlite/sqlite_store.h"

namespace staithe::bench {

// A SQLite store in memory, where a flush costs nothing, in which a bench prepares what it then
// measures on a disk. Without /dev/shm it is among the temporary files.
class ScratchStore {
 public:
  ScratchStore(const Clock& clock, const Log& log) {
    const std::filesystem::path memory = "/dev/shm";
    std::string name =
        (std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path()) /
        "staithe-bench-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    store_ = must(store::open_sqlite_store(folder_ / "staithe.db", {}, clock, log));
  }
  ~ScratchStore() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  ScratchStore(const ScratchStore&) = delete;
  ScratchStore& operator=(const ScratchStore&) = delete;

  store::Store& store() { return *store_; }

  // Closes it and puts its database at `path`.
  void move_to(const std::filesystem::path& path) && {
    store_.reset();
    std::filesystem::copy_file(folder_ / "staithe.db", path,
                               std::filesystem::copy_options::overwrite_existing);
  }

 private:
  std::filesystem::path folder_;
  std::unique_ptr<store::Store> store_;
};

}  // namespace staithe::bench
