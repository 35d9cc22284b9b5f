#include "runtime/local/engine_log.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "base/encoding.h"
#include "base/unique_fd.h"

namespace staithe::runtime {
namespace {

std::string read_tail(const std::string& path) {
  constexpr off_t tail_bytes_max = 256 * 1024;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0) return {};
  const off_t begin = std::max<off_t>(0, status.st_size - tail_bytes_max);
  std::string text(static_cast<std::size_t>(status.st_size - begin), '\0');
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), begin);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (begin > 0) text.erase(0, text.find('\n') + 1);  // half a line
  return text;
}

// Engines write colours and progress bars, and lines are shown in answers that must be UTF-8.
std::string make_printable(std::string_view line) {
  constexpr std::size_t line_bytes_max = 2000;
  constexpr char escape = '\x1b';
  std::string text;
  for (std::size_t i = 0; i < line.size() && text.size() < line_bytes_max; ++i) {
    if (line[i] == escape && i + 1 < line.size() && line[i + 1] == '[') {
      // A control sequence ends with a letter (ECMA-48 section 5.4).
      for (i += 2; i < line.size() && (line[i] < '@' || line[i] > '~'); ++i) {
      }
      continue;
    }
    const auto letter = static_cast<unsigned char>(line[i]);
    if (letter == '\t') text += ' ';
    if (letter >= 0x20 && letter != 0x7f) text += line[i];
  }
  if (is_utf8(text)) return text;
  std::replace_if(text.begin(), text.end(), [](char letter) { return (letter & 0x80) != 0; }, '?');
  return text;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string line = make_printable(text.substr(0, end));
    if (!line.empty()) lines.push_back(std::move(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

void keep_last(std::vector<std::string>& lines, std::size_t count) {
  if (lines.size() > count) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  }
}

}  // namespace

void EngineLog::begin() const {
  std::rename(path_.c_str(), older_path().c_str());
}

void EngineLog::rotate(std::uint64_t bytes_max) const {
  const UniqueFd from(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  struct stat status{};
  if (!from.is_open() || ::fstat(from.get(), &status) != 0 ||
      static_cast<std::uint64_t>(status.st_size) <= bytes_max) {
    return;
  }
  const UniqueFd to(::open(older_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (to.is_open()) {
    // What does not fit twice the limit was written faster than we look; its beginning goes.
    off_t at = std::max<off_t>(0, status.st_size - static_cast<off_t>(2 * bytes_max));
    while (at < status.st_size && ::sendfile(to.get(), from.get(), &at,
                                             static_cast<std::size_t>(status.st_size - at)) > 0) {
    }
  }
  // Emptied even if the copy failed: a full disk must not stay full. Nothing is to be done when
  // emptying fails too; the next look tries again.
  [[maybe_unused]] const int result = ::ftruncate(from.get(), 0);
}

std::vector<std::string> EngineLog::last_lines(std::size_t count) const {
  auto lines = last_lines_of_this_run(count);
  if (lines.size() >= count) return lines;
  auto older = split_lines(read_tail(older_path()));
  keep_last(older, count - lines.size());
  older.insert(older.end(), lines.begin(), lines.end());
  return older;
}

std::vector<std::string> EngineLog::last_lines_of_this_run(std::size_t count) const {
  auto lines = split_lines(read_tail(path_));
  keep_last(lines, count);
  return lines;
}

}  // namespace staithe::runtime
