#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// What a single text must look like. Pure functions over bytes; the patterns are those of the API's
// schema, matched by hand because std::regex recurses per character.
namespace staithe::service::rules {

// 8-4-4-4-12 hexadecimal digits in either case.
bool is_uuid(std::string_view text);
// "US-EAST-04A" or the one old name "RNO2A", upper case: fold first.
bool is_zone(std::string_view folded);
// 1 to 63 letters, digits and inner hyphens.
bool is_host_label(std::string_view text);
// 1 to 63 letters, digits and inner hyphens, underscores and dots.
bool is_instance_type(std::string_view text);
// Lower-case letters, digits and inner hyphens, of any length above 0.
bool is_claim_name(std::string_view text);
// Semantic versioning 2.0 (https://semver.org).
bool is_semver(std::string_view text);
// A semantic version without pre-release and build parts.
bool is_plain_semver(std::string_view text);
// Letters, digits and . _ : / -
bool is_model_name(std::string_view text);
// The key of an engine argument: letters, digits and . _ -
bool is_config_key(std::string_view text);
// The name of an environment variable (POSIX.1 section 8.1, with lower case).
bool is_env_name(std::string_view text);
// A DNS name of at most 253 characters without a trailing dot, whose last label is not a number
// (RFC 1123 section 2.1).
bool is_hostname(std::string_view text);
// An absolute URI (RFC 3986 section 4.3) with, after "//", an authority.
bool is_uri(std::string_view text);
// A field name of HTTP (RFC 9110 section 5.6.2, token).
bool is_header_name(std::string_view text);
// True when a segment of the path is "..".
bool has_path_traversal(std::string_view path);

// Unicode code points, counted by lead bytes.
std::size_t length(std::string_view text);

// `text` in JSON quotes, cut after some 100 bytes: for messages that repeat what a caller sent.
std::string quoted(std::string_view text);

}  // namespace staithe::service::rules
