#include "app/first_token.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "auth/token_record.h"
#include "base/unique_fd.h"

namespace staithe::app {
namespace {

Result<void> write_secret_file(const std::string& path, const std::string& text) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const std::string line = text + "\n";
  // A file that was there keeps its mode unless told.
  if (!fd.is_open() || ::fchmod(fd.get(), 0600) != 0 ||
      ::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
      ::fsync(fd.get()) != 0) {
    return Error{.code = Code::failed_precondition,
                 .message = fmt::format(
                     "cannot write {}: {}; check that this user may write the data directory", path,
                     std::strerror(errno))};
  }
  return {};
}

}  // namespace

Result<void> ensure_first_token(store::Store& store, const std::string& data_directory,
                                const std::string& organization, const Clock& clock, Random& random,
                                const Log& log) {
  TRY_ASSIGN(const auto tokens, store.list(store::Kind::token));
  if (!tokens.empty()) return {};
  const std::string text = auth::make_token_text(random);
  const std::string path = data_directory + "/admin-token";
  TRY(write_secret_file(path, text));
  auth::Token token;
  token.id = random.uuid();
  token.name = "first-admin";
  token.hash = auth::hash_token(text);
  token.organization = organization;
  token.role = auth::Role::admin;
  token.created_at = clock.now();
  TRY(store.commit_and_wait({store::Create{.kind = store::Kind::token,
                                           .id = token.id,
                                           .organization = organization,
                                           .spec = auth::encode_token(token),
                                           .status = {},
                                           .created_at = token.created_at,
                                           .keys = {}}}));
  log.info("wrote the first admin token", {{"file", path}, {"organization", organization}});
  return {};
}

}  // namespace staithe::app
