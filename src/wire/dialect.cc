#include "wire/dialect.h"

#include <fmt/format.h>
#include <zlib.h>

#include "base/encoding.h"

namespace staithe::wire {

std::string media_type_of(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  while (!type.empty() && (type.front() == ' ' || type.front() == '\t')) type.remove_prefix(1);
  return to_lower(type);
}

Result<std::string> decode_body(std::string body,
                                const std::optional<std::string>& content_encoding,
                                std::size_t bytes_max) {
  if (!content_encoding || content_encoding->empty() ||
      equals_ignoring_case(*content_encoding, "identity")) {
    return body;
  }
  if (!equals_ignoring_case(*content_encoding, "gzip")) {
    return Error{
        .code = Code::unimplemented,
        .message = fmt::format("unknown Content-Encoding \"{}\"; gzip and identity are understood",
                               *content_encoding),
        .reason = "UNKNOWN_ENCODING"};
  }
  const Error malformed{.code = Code::invalid_argument,
                        .message = "the body is not valid gzip",
                        .reason = "MALFORMED_BODY"};
  z_stream stream{};
  constexpr int gzip_only = 16 + MAX_WBITS;
  if (inflateInit2(&stream, gzip_only) != Z_OK) return malformed;
  stream.next_in = reinterpret_cast<Bytef*>(body.data());
  stream.avail_in = static_cast<uInt>(body.size());
  std::string plain;
  int outcome = Z_OK;
  while (outcome == Z_OK) {
    char piece[16 * 1024];
    stream.next_out = reinterpret_cast<Bytef*>(piece);
    stream.avail_out = sizeof piece;
    outcome = inflate(&stream, Z_NO_FLUSH);
    plain.append(piece, sizeof piece - stream.avail_out);
    if (plain.size() > bytes_max) break;
    if (outcome == Z_OK && stream.avail_in == 0 && stream.avail_out > 0) break;  // cut short
  }
  const bool is_whole = outcome == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (plain.size() > bytes_max) {
    return Error{.code = Code::resource_exhausted,
                 .message = fmt::format("the body is larger than {} bytes", bytes_max),
                 .reason = "BODY_TOO_LARGE"};
  }
  if (!is_whole) return malformed;
  return plain;
}

}  // namespace staithe::wire
