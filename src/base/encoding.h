#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace staithe {

// `text` as a JSON string with its quotes (RFC 8259 section 7). Bytes that are not UTF-8 become
// U+FFFD, so that the result is always valid JSON.
std::string json_quote(std::string_view text);
void append_json_quoted(std::string& out, std::string_view text);

// True when `text` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool is_utf8(std::string_view text);

std::string hex(std::string_view bytes);

// Base64 with the standard alphabet and padding (RFC 4648 section 4).
std::string base64(std::string_view bytes);
std::string unpadded_base64(std::string_view bytes);
// Also takes the URL alphabet and missing padding; nothing on any other byte.
std::optional<std::string> base64_decode(std::string_view text);

// Percent-decoding of a URL path or query component (RFC 3986 section 2.1); nothing on a bad
// escape.
std::optional<std::string> percent_decode(std::string_view text);
// Everything but unreserved characters becomes %XX.
std::string percent_encode(std::string_view text);

// ASCII only, whatever the locale.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
bool equals_ignoring_case(std::string_view left, std::string_view right);

}  // namespace staithe
