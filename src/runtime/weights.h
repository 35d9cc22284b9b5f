#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace staithe::runtime {

// Buckets as directories of this machine.
struct WeightsOptions {
  std::map<std::string, std::string> bucket_directories;  // these buckets, wherever they are
  std::string root;                                       // every other bucket is a folder in here
};

// Finds weights by the names that the API gives them. Any thread: it keeps nothing but its options
// and asks the file system each time, so that files which appear later are found.
class Weights {
 public:
  explicit Weights(WeightsOptions options) : options_(std::move(options)) {}

  // The canonical path of the directory. Slashes at both ends of `path` do not count.
  //
  // The error's `reason` is one of those in driver.h: the bucket or the path is missing (an empty
  // directory is: a prefix without objects), may not be read, or leads out of the bucket's
  // directory through `..` or a symbolic link, which counts as access denied.
  Result<std::string> find_directory(std::string_view bucket, std::string_view path) const;

  // The one GGUF model in such a directory: the only *.gguf, or the first part of the only split
  // one. Projector files (mmproj*) do not count. Its error's reason is InvalidModel or
  // AccessDenied.
  Result<std::string> find_gguf(std::string_view bucket, std::string_view path) const;

 private:
  Result<std::string> find_bucket(std::string_view bucket) const;

  WeightsOptions options_;
};

}  // namespace staithe::runtime
