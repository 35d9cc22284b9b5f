#include "store/sqlite/ownership.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "store/sqlite/open_errors.h"

namespace staithe::store {
namespace {

UniqueFd open_or_make(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

// 0, or errno; EWOULDBLOCK when somebody has a lock that forbids it.
int lock(const UniqueFd& file, int kind) {
  while (::flock(file.get(), kind | LOCK_NB) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

bool is_locked(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  return file.is_open() && lock(file, LOCK_EX) == EWOULDBLOCK;
}

std::string lock_path(const std::string& path) {
  return path + ".lock";
}
std::string line_path(const std::string& path) {
  return path + ".next";
}
std::string leaving_path(const std::string& path) {
  return path + ".leaving";
}

std::string read_holder(int fd) {
  std::array<char, 24> buffer{};
  const ssize_t size = ::pread(fd, buffer.data(), buffer.size(), 0);
  if (size <= 0) return {};
  const std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  const std::string_view digits = text.substr(0, text.find('\n'));
  return digits.find_first_not_of("0123456789") == std::string_view::npos ? std::string(digits)
                                                                          : std::string();
}

// Only for the message of the one who is refused, so a failure does not matter.
void write_holder(int fd) {
  const std::string text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, text.data(), text.size(), 0);
}

// Takes a file for this process alone and says in it who has it.
Result<UniqueFd> take_file(const std::string& file_path, const std::string& database_path) {
  UniqueFd file = open_or_make(file_path);
  if (!file.is_open()) return open_errors::cannot_open(database_path, errno);
  const int problem = lock(file, LOCK_EX);
  if (problem == EWOULDBLOCK) {
    return open_errors::taken(database_path, read_holder(file.get()));
  }
  if (problem != 0) return open_errors::cannot_open(database_path, problem);
  write_holder(file.get());
  return file;
}

}  // namespace

Result<UniqueFd> stand_in_line(const std::string& path) {
  return take_file(line_path(path), path);
}

Result<Ownership> Ownership::take(const std::string& path) {
  TRY_ASSIGN(UniqueFd lock, take_file(lock_path(path), path));
  if (!open_or_make(path).is_open()) return open_errors::cannot_open(path, errno);
  return Ownership(path, std::move(lock));
}

bool Ownership::is_taken(const std::string& path) {
  return is_locked(lock_path(path));
}

bool Ownership::has_successor() const {
  return is_locked(line_path(path_));
}

bool Ownership::has_predecessor() const {
  return is_locked(leaving_path(path_));
}

void Ownership::give_up() {
  if (!lock_.is_open()) return;
  // Before the next one can look. Without it, it would only think that nothing is left to finish.
  leaving_ = open_or_make(leaving_path(path_));
  if (leaving_.is_open()) (void)lock(leaving_, LOCK_SH);
  lock_.reset();
}

}  // namespace staithe::store
