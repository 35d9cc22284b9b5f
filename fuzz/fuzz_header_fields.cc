#include <algorithm>
#include <chrono>

#include "auth/token.h"
#include "base/encoding.h"
#include "fuzz_input.h"
#include "wire/compression.h"
#include "wire/dialect.h"
#include "wire/grpc.h"
#include "wire/timeouts.h"

namespace staithe::fuzz {
namespace {

// A token is found only as a whole word of the field, and is found again behind a plain "Bearer".
void check_bearer(std::string_view field) {
  const auto token = auth::bearer_token(field);
  if (!token) return;
  CHECK(auth::is_token_text(*token));
  CHECK(equals_ignoring_case(field.substr(0, 7), "Bearer "));
  CHECK(token->data() >= field.data() + 7);
  CHECK(token->data() + token->size() <= field.data() + field.size());
  const std::string plain = "Bearer " + std::string(*token);
  CHECK(auth::bearer_token(plain) == token);
  CHECK(auth::hash_token(*token).size() == auth::token_hash_bytes);
}

template <typename Read>
void check_timeout(std::string_view field, Read read) {
  const auto timeout = read(std::optional(field));
  if (!timeout) {
    CHECK(timeout.error().code == Code::invalid_argument);
    return;
  }
  CHECK(timeout->has_value());
  CHECK(**timeout >= Duration(1) && **timeout <= std::chrono::hours(24 * 366));
}

}  // namespace

// What is read by hand from single fields of a request's head, and the one field we encode.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view field = text_of(data, size);
  check_bearer(field);
  check_timeout(field, wire::read_grpc_timeout);
  check_timeout(field, wire::read_connect_timeout);
  const auto encoding = wire::read_encoding(field, "x");
  CHECK(encoding || encoding.error().code == Code::unimplemented);
  if (field.find(',') == std::string_view::npos && field.find(';') == std::string_view::npos &&
      wire::accepts_gzip(field)) {
    CHECK(field.find('*') != std::string_view::npos || size >= 4);
  }
  const std::string media_type = wire::media_type_of(field);
  CHECK(media_type.size() <= size && wire::media_type_of(media_type) == media_type);

  const std::string message = wire::encode_grpc_message(field);
  CHECK(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  CHECK(percent_decode(message) == field);
  return 0;
}

}  // namespace staithe::fuzz
