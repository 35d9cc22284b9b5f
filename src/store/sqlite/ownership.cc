#include "store/sqlite/ownership.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "store/sqlite/open_errors.h"

namespace staithe::store {
namespace {

// Engines outlive us: a descriptor they inherited would hold the lock for them.
UniqueFd open_or_make(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
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

}  // namespace

Result<UniqueFd> take_ownership(const std::string& path) {
  UniqueFd lock = open_or_make(path + ".lock");
  if (!lock.is_open()) return open_errors::cannot_open(path, errno);
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return open_errors::taken(path, read_holder(lock.get()));
    return open_errors::cannot_open(path, errno);
  }
  write_holder(lock.get());
  if (!open_or_make(path).is_open()) return open_errors::cannot_open(path, errno);
  return lock;
}

}  // namespace staithe::store
