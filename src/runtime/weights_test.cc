#include "runtime/weights.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/driver_test_kit.h"

namespace staithe::runtime {
namespace {

namespace fs = std::filesystem;

class WeightsTest : public ::testing::Test {
 protected:
  std::string reason_of(const Result<std::string>& result) const {
    return result.has_value() ? "found " + *result : result.error().reason;
  }

  testing::TemporaryDirectory files_;
  Weights weights_{{.bucket_directories = {{"elsewhere", files_.path() + "/other"}},
                    .root = files_.path() + "/root"}};
};

TEST_F(WeightsTest, are_found_under_the_root_with_or_without_outer_slashes) {
  files_.make_file("root/models/org/m/config.json");
  const std::string expected = fs::canonical(files_.path() + "/root/models/org/m").string();
  for (const char* path : {"org/m", "/org/m", "org/m/", "//org/m//", "org//m"}) {
    EXPECT_EQ(weights_.find_directory("models", path).value(), expected) << path;
  }
}

TEST_F(WeightsTest, are_found_in_a_bucket_with_a_directory_of_its_own) {
  files_.make_file("other/m/config.json");
  EXPECT_EQ(weights_.find_directory("elsewhere", "m").value(),
            fs::canonical(files_.path() + "/other/m").string());
}

TEST_F(WeightsTest, of_a_whole_bucket_are_found_by_a_slash) {
  files_.make_file("root/models/config.json");
  EXPECT_TRUE(weights_.find_directory("models", "/").has_value());
}

TEST_F(WeightsTest, say_whether_the_bucket_or_the_path_is_missing) {
  EXPECT_EQ(reason_of(weights_.find_directory("models", "m")), "BucketNotFound");
  files_.make_file("root/models/x/config.json");
  EXPECT_EQ(reason_of(weights_.find_directory("models", "m")), "PathNotFound");
  EXPECT_EQ(reason_of(weights_.find_directory("elsewhere", "m")), "BucketNotFound");
  EXPECT_EQ(reason_of(Weights({}).find_directory("models", "m")), "BucketNotFound");
  EXPECT_EQ(reason_of(weights_.find_directory("..", "m")), "BucketNotFound");
}

TEST_F(WeightsTest, in_an_empty_directory_are_missing) {
  fs::create_directories(files_.path() + "/root/models/m");
  EXPECT_EQ(reason_of(weights_.find_directory("models", "m")), "PathNotFound");
}

TEST_F(WeightsTest, that_are_a_file_are_no_model) {
  files_.make_file("root/models/m");
  EXPECT_EQ(reason_of(weights_.find_directory("models", "m")), "InvalidModel");
}

TEST_F(WeightsTest, never_lead_out_of_the_bucket) {
  files_.make_file("root/models/m/config.json");
  files_.make_file("root/secrets/key");
  files_.make_file("outside/m/config.json");
  EXPECT_EQ(reason_of(weights_.find_directory("models", "../secrets")), "AccessDenied");
  fs::create_directory_symlink(files_.path() + "/outside/m", files_.path() + "/root/models/link");
  EXPECT_EQ(reason_of(weights_.find_directory("models", "link")), "AccessDenied");
  fs::create_symlink(files_.path() + "/root/secrets/key",
                     files_.path() + "/root/models/m/tokenizer.json");
  EXPECT_EQ(reason_of(weights_.find_directory("models", "m")), "AccessDenied");
}

TEST_F(WeightsTest, may_use_links_within_the_bucket) {
  files_.make_file("root/models/blobs/1");
  fs::create_directories(files_.path() + "/root/models/m");
  fs::create_symlink("../blobs/1", files_.path() + "/root/models/m/model.safetensors");
  EXPECT_TRUE(weights_.find_directory("models", "m").has_value());
}

TEST_F(WeightsTest, are_denied_where_the_server_may_not_read) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  files_.make_file("root/models/m/config.json");
  const std::string directory = files_.path() + "/root/models/m";
  ASSERT_EQ(::chmod(directory.c_str(), 0), 0);
  EXPECT_EQ(reason_of(weights_.find_directory("models", "m")), "AccessDenied");
  ::chmod(directory.c_str(), 0700);
}

TEST_F(WeightsTest, in_gguf_are_the_only_such_file) {
  const std::string file = files_.make_file("root/models/m/model-q4.gguf");
  files_.make_file("root/models/m/README.md");
  files_.make_file("root/models/m/mmproj-f16.gguf");
  EXPECT_EQ(weights_.find_gguf("models", "m").value(), fs::canonical(file).string());
}

TEST_F(WeightsTest, in_a_split_gguf_begin_with_the_first_part) {
  files_.make_file("root/models/m/big-00002-of-00002.gguf");
  const std::string first = files_.make_file("root/models/m/big-00001-of-00002.gguf");
  EXPECT_EQ(weights_.find_gguf("models", "m").value(), fs::canonical(first).string());
}

TEST_F(WeightsTest, in_gguf_must_be_there_and_unambiguous) {
  files_.make_file("root/models/none/config.json");
  files_.make_file("root/models/two/a.gguf");
  files_.make_file("root/models/two/b.gguf");
  EXPECT_EQ(reason_of(weights_.find_gguf("models", "none")), "InvalidModel");
  EXPECT_EQ(reason_of(weights_.find_gguf("models", "two")), "InvalidModel");
  EXPECT_EQ(reason_of(weights_.find_gguf("models", "gone")), "PathNotFound");
}

}  // namespace
}  // namespace staithe::runtime
