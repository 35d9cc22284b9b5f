#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/check.h"

namespace staithe::store {

// A directory of a test's own, gone after it.
class TestDirectory {
 public:
  TestDirectory() {
    std::string name = testing::TempDir() + "staithe-store-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = std::filesystem::canonical(name);
  }
  ~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string database() const { return path_ + "/staithe.db"; }

 private:
  std::string path_;
};

}  // namespace staithe::store
