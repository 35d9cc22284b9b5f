#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/dialect.h"

namespace staithe::wire {

// Answers below this are sent as they are: a packet is a packet.
inline constexpr std::size_t compressed_bytes_min = 1024;

std::string gzip(std::string_view bytes);
// INVALID_ARGUMENT when it is not one whole gzip member, RESOURCE_EXHAUSTED when it grows beyond
// `bytes_max`.
Result<std::string> gunzip(std::string_view bytes, std::size_t bytes_max);

// Whether a list such as "gzip;q=0.8, identity" (RFC 9110 section 12.5.3), or without weights
// (gRPC), allows gzip.
bool accepts_gzip(std::optional<std::string_view> accept_encoding);

enum class Encoding : std::uint8_t { identity, gzip };
// UNIMPLEMENTED for any other; the message lists what is understood and names `field`.
Result<Encoding> read_encoding(std::optional<std::string_view> value, std::string_view field);

// Compresses the body of an HTTP answer if that is worth it and the client allows it.
void compress_body(RawAnswer& answer, const RawRequest& request);

// A body with its Content-Encoding taken off.
Result<std::string> decode_body(std::string body, std::optional<std::string_view> content_encoding,
                                std::size_t bytes_max);

}  // namespace staithe::wire
