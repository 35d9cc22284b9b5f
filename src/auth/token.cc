#include "auth/token.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/check.h"
#include "base/encoding.h"

namespace staithe::auth {

std::string hash_token(std::string_view token) {
  // Looked up once: EVP_sha256() makes every digest search OpenSSL's providers anew.
  static EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  CHECK(sha256 != nullptr);
  std::string hash(token_hash_bytes, '\0');
  unsigned size = 0;
  const int hashed =
      EVP_Digest(token.data(), token.size(), reinterpret_cast<unsigned char*>(hash.data()), &size,
                 sha256, nullptr);
  CHECK(hashed == 1 && size == token_hash_bytes);
  return hash;
}

bool is_token_text(std::string_view text) {
  return !text.empty() && text.size() <= token_bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  static constexpr std::string_view blanks = " \t";
  const std::size_t scheme_end = authorization.find(' ');
  if (scheme_end == std::string_view::npos) return std::nullopt;
  if (!equals_ignoring_case(authorization.substr(0, scheme_end), "Bearer")) return std::nullopt;
  const std::size_t begin = authorization.find_first_not_of(blanks, scheme_end);
  if (begin == std::string_view::npos) return std::nullopt;
  const std::size_t end = authorization.find_last_not_of(blanks) + 1;
  const std::string_view token = authorization.substr(begin, end - begin);
  if (!is_token_text(token)) return std::nullopt;
  return token;
}

}  // namespace staithe::auth
