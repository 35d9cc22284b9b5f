#include "wire/compression.h"

#include <fmt/format.h>
#include <zlib.h>

#include "base/check.h"
#include "base/encoding.h"

namespace staithe::wire {
namespace {

constexpr int gzip_only = 16 + MAX_WBITS;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// "q=0", "q=0.0" and so on: not acceptable.
bool is_refused(std::string_view parameters) {
  const std::string_view weight = trim(parameters);
  if (weight.size() < 3 || (weight[0] != 'q' && weight[0] != 'Q') || weight[1] != '=') return false;
  return weight.substr(2).find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int memory_level = 8;
  CHECK(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, gzip_only, memory_level,
                     Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Result<std::string> gunzip(std::string_view bytes, std::size_t bytes_max) {
  const Error malformed{.code = Code::invalid_argument,
                        .message = "the body is not valid gzip",
                        .reason = "MALFORMED_BODY"};
  z_stream stream{};
  if (inflateInit2(&stream, gzip_only) != Z_OK) return malformed;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
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
  if (plain.size() > bytes_max) return body_too_large(bytes_max);
  if (!is_whole) return malformed;
  return plain;
}

bool accepts_gzip(std::optional<std::string_view> accept_encoding) {
  std::string_view left = accept_encoding.value_or(std::string_view{});
  while (!left.empty()) {
    const auto comma = left.find(',');
    const std::string_view item = left.substr(0, comma);
    left.remove_prefix(comma == std::string_view::npos ? left.size() : comma + 1);
    const auto semicolon = item.find(';');
    if (!equals_ignoring_case(trim(item.substr(0, semicolon)), "gzip")) continue;
    return semicolon == std::string_view::npos || !is_refused(item.substr(semicolon + 1));
  }
  return false;
}

Result<Encoding> read_encoding(std::optional<std::string_view> value, std::string_view field) {
  const std::string_view name = trim(value.value_or(std::string_view{}));
  if (name.empty() || equals_ignoring_case(name, "identity")) return Encoding::identity;
  if (equals_ignoring_case(name, "gzip")) return Encoding::gzip;
  return Error{
      .code = Code::unimplemented,
      .message = fmt::format("unknown {} \"{}\"; gzip and identity are understood", field, name),
      .reason = "UNKNOWN_ENCODING"};
}

void compress_body(RawAnswer& answer, const RawRequest& request) {
  if (answer.body.size() < compressed_bytes_min) return;
  answer.headers.emplace_back("Vary", "Accept-Encoding");
  if (!accepts_gzip(request.header("accept-encoding"))) return;
  answer.headers.emplace_back("Content-Encoding", "gzip");
  answer.body = gzip(answer.body);
}

Result<std::string> decode_body(std::string body, std::optional<std::string_view> content_encoding,
                                std::size_t bytes_max) {
  TRY_ASSIGN(const Encoding encoding, read_encoding(content_encoding, "Content-Encoding"));
  if (encoding == Encoding::gzip) return gunzip(body, bytes_max);
  return body;
}

}  // namespace staithe::wire
