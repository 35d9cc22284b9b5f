#include "runtime/weights.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>

#include "runtime/driver.h"

namespace staithe::runtime {
namespace {

namespace fs = std::filesystem;

Error weights_error(std::string_view reason, std::string message) {
  const Code code = reason == reason_access_denied   ? Code::permission_denied
                    : reason == reason_invalid_model ? Code::failed_precondition
                                                     : Code::not_found;
  return Error{.code = code, .message = std::move(message), .reason = std::string(reason)};
}

std::string_view without_outer_slashes(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  return path;
}

// What a file system answer means for somebody who looks for `missing_reason`.
Error file_error(const std::error_code& problem, std::string_view missing_reason,
                 const std::string& what) {
  if (problem == std::errc::permission_denied || problem == std::errc::operation_not_permitted) {
    return weights_error(reason_access_denied, what + " may not be read by this server");
  }
  if (problem == std::errc::too_many_symbolic_link_levels) {
    return weights_error(reason_access_denied, what + " is a symbolic link in a circle");
  }
  return weights_error(missing_reason, what + " does not exist");
}

bool is_within(const fs::path& path, const fs::path& directory) {
  const auto [end, unused] =
      std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
  return end == directory.end();
}

// Where a file lies once every link is followed, if that is inside the bucket.
Result<fs::path> resolve_within(const fs::path& path, const fs::path& bucket_directory,
                                std::string_view missing_reason, const std::string& what) {
  std::error_code problem;
  const fs::path canonical = fs::canonical(path, problem);
  if (problem) return file_error(problem, missing_reason, what);
  if (!is_within(canonical, bucket_directory)) {
    return weights_error(reason_access_denied,
                         what +
                             " leads out of its bucket; give the place it leads to a bucket "
                             "directory of its own");
  }
  return canonical;
}

// The text before "-NNNNN-of-MMMMM" of a split GGUF model, nothing for a whole one.
std::optional<std::string> split_prefix(const std::string& stem) {
  constexpr std::size_t suffix_size = std::string_view("-00001-of-00002").size();
  if (stem.size() <= suffix_size) return std::nullopt;
  const std::string_view suffix = std::string_view(stem).substr(stem.size() - suffix_size);
  for (std::size_t i = 0; i < suffix_size; ++i) {
    constexpr std::string_view pattern = "-ddddd-of-ddddd";
    const bool is_digit = std::isdigit(static_cast<unsigned char>(suffix[i])) != 0;
    if (pattern[i] == 'd' ? !is_digit : suffix[i] != pattern[i]) return std::nullopt;
  }
  return stem.substr(0, stem.size() - suffix_size);
}

}  // namespace

Result<std::string> Weights::find_bucket(std::string_view bucket) const {
  const bool is_name = !bucket.empty() && !bucket.starts_with('.') &&
                       bucket.find('/') == std::string_view::npos &&
                       bucket.find('\0') == std::string_view::npos;
  const auto mapped = options_.bucket_directories.find(std::string(bucket));
  if (mapped == options_.bucket_directories.end() && (options_.root.empty() || !is_name)) {
    return weights_error(reason_bucket_not_found,
                         fmt::format("no directory is configured for bucket {}", bucket));
  }
  const fs::path directory = mapped != options_.bucket_directories.end()
                                 ? fs::path(mapped->second)
                                 : fs::path(options_.root) / bucket;
  const std::string what = fmt::format("the directory {} of bucket {}", directory.string(), bucket);
  std::error_code problem;
  const fs::path canonical = fs::canonical(directory, problem);
  if (problem) return file_error(problem, reason_bucket_not_found, what);
  if (!fs::is_directory(canonical, problem)) {
    return weights_error(reason_bucket_not_found, what + " is not a directory");
  }
  return canonical.string();
}

Result<std::string> Weights::find_directory(std::string_view bucket, std::string_view path) const {
  TRY_ASSIGN(const std::string bucket_directory, find_bucket(bucket));
  const std::string_view inner = without_outer_slashes(path);
  const std::string what = fmt::format("path {} in bucket {}", inner, bucket);
  if (inner.find('\0') != std::string_view::npos) {
    return weights_error(reason_path_not_found, fmt::format("no such path in bucket {}", bucket));
  }
  TRY_ASSIGN(const fs::path directory,
             resolve_within(fs::path(bucket_directory) / inner, bucket_directory,
                            reason_path_not_found, what));
  std::error_code problem;
  if (!fs::is_directory(directory, problem)) {
    return problem ? file_error(problem, reason_path_not_found, what)
                   : weights_error(reason_invalid_model,
                                   what + " is a file; name the directory that holds the weights");
  }
  if (::access(directory.c_str(), R_OK | X_OK) != 0) {
    return weights_error(reason_access_denied, what + " may not be read by this server");
  }
  fs::directory_iterator entry(directory, problem);
  if (problem) return file_error(problem, reason_path_not_found, what);
  if (entry == fs::directory_iterator()) {
    return weights_error(reason_path_not_found, what + " is empty");
  }
  for (; !problem && entry != fs::directory_iterator(); entry.increment(problem)) {
    std::error_code unused;
    if (!entry->is_symlink(unused)) continue;
    TRY(resolve_within(entry->path(), bucket_directory, reason_path_not_found,
                       fmt::format("{} of {}", entry->path().filename().string(), what)));
  }
  if (problem) return file_error(problem, reason_path_not_found, what);
  return directory.string();
}

Result<std::string> Weights::find_gguf(std::string_view bucket, std::string_view path) const {
  TRY_ASSIGN(const std::string directory, find_directory(bucket, path));
  const std::string what = fmt::format("path {} in bucket {}", without_outer_slashes(path), bucket);
  std::set<std::string> models;  // one name per model, whether split or whole
  std::string first_file;
  std::error_code problem;
  for (fs::directory_iterator entry(directory, problem);
       !problem && entry != fs::directory_iterator(); entry.increment(problem)) {
    const fs::path& file = entry->path();
    if (file.extension() != ".gguf" || file.filename().string().starts_with("mmproj")) continue;
    const std::string stem = file.stem().string();
    models.insert(split_prefix(stem).value_or(stem));
    if (first_file.empty() || file.string() < first_file) first_file = file.string();
  }
  if (problem) return file_error(problem, reason_path_not_found, what);
  if (models.empty()) {
    return weights_error(reason_invalid_model, what + " has no .gguf file");
  }
  if (models.size() > 1) {
    return weights_error(
        reason_invalid_model,
        fmt::format("{} has {} models ({}, {}, ...); keep one .gguf model per path", what,
                    models.size(), *models.begin(), *std::next(models.begin())));
  }
  if (::access(first_file.c_str(), R_OK) != 0) {
    return weights_error(reason_access_denied,
                         what + ": its .gguf file may not be read by this server");
  }
  return first_file;
}

}  // namespace staithe::runtime
