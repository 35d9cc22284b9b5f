#include "net/head_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/encoding.h"

namespace staithe::net {
namespace {

constexpr std::size_t content_length_digits_max = 18;  // stays far from overflow

enum CharClass : std::uint8_t { token_char = 1, value_char = 2, target_char = 4, digit_char = 8 };

constexpr auto char_classes = [] {
  std::array<std::uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const bool is_digit = c >= '0' && c <= '9';
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool is_visible = c > 0x20 && c < 0x7f;
    std::uint8_t flags = 0;
    if (is_digit || is_letter) flags |= token_char;
    if (is_digit) flags |= digit_char;
    if (is_visible && c != '#') flags |= target_char;
    if (is_visible || c >= 0x80 || c == ' ' || c == '\t') flags |= value_char;
    classes[static_cast<std::size_t>(c)] = flags;
  }
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) {
    classes[static_cast<unsigned char>(c)] |= token_char;
  }
  return classes;
}();

bool is_all(std::string_view text, CharClass wanted) {
  return std::all_of(text.begin(), text.end(), [wanted](char c) {
    return (char_classes[static_cast<unsigned char>(c)] & wanted) != 0;
  });
}

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Calls `use` with each item of a comma-separated list.
template <typename Use>
void for_each_item(std::string_view list, Use use) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = trimmed(list.substr(0, comma));
    if (!item.empty()) use(item);
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
  }
}

// Takes the first line, without its CRLF, off a head that HeadScanner found complete.
std::string_view take_line(std::string_view& head) {
  const std::size_t end = head.find("\r\n");
  const std::string_view line = head.substr(0, end);
  head = end == std::string_view::npos ? std::string_view{} : head.substr(end + 2);
  return line;
}

std::optional<std::uint32_t> parse_small_number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

enum class Version : std::uint8_t { http_1_0, http_1_1, other, malformed };

// A higher minor version is read as 1.1 (RFC 9110 section 2.5).
Version parse_version(std::string_view text) {
  if (text.size() != 8 || !text.starts_with("HTTP/") || text[6] != '.' ||
      !is_all(text.substr(5, 1), digit_char) || !is_all(text.substr(7, 1), digit_char)) {
    return Version::malformed;
  }
  if (text[5] != '1') return Version::other;
  return text[7] == '0' ? Version::http_1_0 : Version::http_1_1;
}

// What the fields of a head say about where its message ends and what comes after it.
struct FramingFields {
  std::size_t content_length_count = 0;
  std::size_t transfer_encoding_count = 0;
  std::optional<std::uint64_t> content_length;  // absent also when malformed
  bool is_chunked = false;
  std::string_view transfer_encoding;
  bool has_close = false;
  bool has_keep_alive = false;
};

std::optional<std::uint64_t> parse_content_length(std::string_view text) {
  if (text.empty() || text.size() > content_length_digits_max || !is_all(text, digit_char)) {
    return std::nullopt;
  }
  std::uint64_t length = 0;
  std::from_chars(text.data(), text.data() + text.size(), length);
  return length;
}

void note_framing(const HeaderView& field, FramingFields& framing) {
  switch (field.name.size()) {
    case 10:
      if (!equals_ignoring_case(field.name, "connection")) return;
      framing.has_close |= list_contains(field.value, "close");
      framing.has_keep_alive |= list_contains(field.value, "keep-alive");
      return;
    case 14:
      if (!equals_ignoring_case(field.name, "content-length")) return;
      ++framing.content_length_count;
      framing.content_length = parse_content_length(field.value);
      return;
    case 17:
      if (!equals_ignoring_case(field.name, "transfer-encoding")) return;
      ++framing.transfer_encoding_count;
      framing.transfer_encoding = field.value;
      framing.is_chunked = equals_ignoring_case(field.value, "chunked");
      return;
    default:
      return;
  }
}

std::optional<Refusal> parse_field(std::string_view line, HeaderList& headers) {
  if (is_space(line.front())) return Refusal{400, "a header line is folded"};
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return Refusal{400, "a header name is malformed"};
  }
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (!is_all(value, value_char)) return Refusal{400, "a header value holds control characters"};
  if (headers.size() == field_count_max) return Refusal{431, "there are too many header fields"};
  headers.add(line.substr(0, colon), value);
  return std::nullopt;
}

// Reads the lines after the first one.
std::optional<Refusal> parse_fields(std::string_view lines, HeaderList& headers,
                                    FramingFields& framing) {
  headers.clear();
  for (std::string_view line = take_line(lines); !line.empty(); line = take_line(lines)) {
    if (auto refusal = parse_field(line, headers)) return refusal;
    note_framing(*(headers.end() - 1), framing);
  }
  return std::nullopt;
}

// RFC 9112 section 6.3. A request that gives both a length and a coding, or either twice, is how
// requests are smuggled past a reader that picks the other one.
std::optional<Refusal> frame_request(const FramingFields& fields, Version version,
                                     BodyFraming& body) {
  body = {};
  if (fields.transfer_encoding_count > 0) {
    if (version == Version::http_1_0) {
      return Refusal{400, "HTTP/1.0 has no Transfer-Encoding"};
    }
    if (fields.content_length_count > 0) {
      return Refusal{400, "Content-Length and Transfer-Encoding exclude each other"};
    }
    if (fields.transfer_encoding_count > 1) return Refusal{400, "Transfer-Encoding is repeated"};
    if (!fields.is_chunked) return Refusal{501, "the only transfer coding known is chunked"};
    body.kind = BodyFraming::Kind::chunked;
    return std::nullopt;
  }
  if (fields.content_length_count == 0) return std::nullopt;
  if (fields.content_length_count > 1) return Refusal{400, "Content-Length is repeated"};
  if (!fields.content_length) return Refusal{400, "Content-Length is malformed"};
  body = {BodyFraming::Kind::length, *fields.content_length};
  return std::nullopt;
}

// RFC 9110 section 7.2 wants 400 for a Host that is missing, repeated or malformed.
std::optional<Refusal> check_host(const HeaderList& headers, Version version) {
  const std::size_t count = headers.count("host");
  if (count > 1) return Refusal{400, "Host is repeated"};
  if (count == 0) {
    if (version == Version::http_1_1) return Refusal{400, "Host is missing"};
    return std::nullopt;
  }
  if (!is_host(*headers.find("host"))) return Refusal{400, "Host is malformed"};
  return std::nullopt;
}

// RFC 9112 section 3.2. The absolute form is cut down to the origin form that everyone after us
// reads; its authority must not contradict Host.
std::optional<Refusal> settle_target(RequestHead& head) {
  constexpr Refusal malformed{400, "the request target is malformed"};
  if (head.method == "CONNECT") return Refusal{501, "CONNECT is not offered"};
  if (head.target.starts_with('/')) return std::nullopt;
  if (head.target == "*" && head.method == "OPTIONS") return std::nullopt;

  std::string_view rest = head.target;
  const std::size_t scheme_end = rest.find("://");
  if (scheme_end == std::string_view::npos) return malformed;
  const std::string_view scheme = rest.substr(0, scheme_end);
  if (!equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "https")) {
    return malformed;
  }
  rest.remove_prefix(scheme_end + 3);
  const std::size_t authority_end = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, authority_end);
  const auto host = head.headers.find("host");
  if (authority.empty() || (host && !equals_ignoring_case(*host, authority))) return malformed;
  if (authority_end == std::string_view::npos) {
    head.target = "/";
  } else if (rest[authority_end] == '?') {
    return malformed;
  } else {
    head.target = rest.substr(authority_end);
  }
  return std::nullopt;
}

std::optional<Refusal> parse_request_line(std::string_view line, RequestHead& head,
                                          Version& version) {
  const std::size_t method_end = line.find(' ');
  const std::size_t target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || target_end == method_end) {
    return Refusal{400, "the request line is malformed"};
  }
  head.method = line.substr(0, method_end);
  head.target = line.substr(method_end + 1, target_end - method_end - 1);
  version = parse_version(line.substr(target_end + 1));
  if (!is_token(head.method)) return Refusal{400, "the method is malformed"};
  if (!is_request_target(head.target)) return Refusal{400, "the request target is malformed"};
  if (version == Version::malformed) return Refusal{400, "the HTTP version is malformed"};
  if (version == Version::other) return Refusal{505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
  head.http_major = 1;
  head.http_minor = version == Version::http_1_1 ? 1 : 0;
  return std::nullopt;
}

std::optional<Refusal> note_expectations(const HeaderList& headers, Version version,
                                         ParsedRequest& parsed) {
  parsed.expects_continue = false;
  const auto expect = headers.find("expect");
  if (!expect || version == Version::http_1_0) return std::nullopt;
  if (!equals_ignoring_case(*expect, "100-continue")) {
    return Refusal{417, "the only expectation known is 100-continue"};
  }
  parsed.expects_continue = true;
  return std::nullopt;
}

bool is_persistent(const FramingFields& framing, Version version) {
  if (framing.has_close) return false;
  return version == Version::http_1_1 || framing.has_keep_alive;
}

// RFC 9112 section 6.3, from the receiver's side. An answer that gives both a coding and a length
// is read by its coding, and its connection is not used again.
std::optional<Refusal> frame_response(const FramingFields& fields, AnsweredMethod method,
                                      ParsedResponse& parsed) {
  const std::uint16_t status = parsed.head.status;
  parsed.head.body = {};
  if (fields.content_length_count > 1) return Refusal{502, "Content-Length is repeated"};
  if (fields.content_length_count == 1 && !fields.content_length) {
    return Refusal{502, "Content-Length is malformed"};
  }
  if (status < 200 || status == 204 || status == 304 || method == AnsweredMethod::head) {
    return std::nullopt;
  }
  if (fields.transfer_encoding_count > 0) {
    if (fields.transfer_encoding_count > 1 || !fields.is_chunked) {
      return Refusal{502, "the answer has an unknown transfer coding"};
    }
    if (fields.content_length_count > 0) parsed.is_persistent = false;
    parsed.head.body.kind = BodyFraming::Kind::chunked;
  } else if (fields.content_length) {
    parsed.head.body = {BodyFraming::Kind::length, *fields.content_length};
  } else {
    parsed.head.body.kind = BodyFraming::Kind::until_close;
    parsed.is_persistent = false;
  }
  return std::nullopt;
}

// "Keep-Alive: timeout=5, max=100", as servers send it (RFC 2068 section 19.7.1.1).
void note_keep_alive(const HeaderList& headers, ParsedResponse& parsed) {
  parsed.keep_alive_timeout_s.reset();
  parsed.keep_alive_requests_max.reset();
  const auto keep_alive = headers.find("keep-alive");
  if (!keep_alive) return;
  for_each_item(*keep_alive, [&parsed](std::string_view item) {
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) return;
    const std::string_view key = trimmed(item.substr(0, equals));
    const auto number = parse_small_number(trimmed(item.substr(equals + 1)));
    if (equals_ignoring_case(key, "timeout")) parsed.keep_alive_timeout_s = number;
    if (equals_ignoring_case(key, "max")) parsed.keep_alive_requests_max = number;
  });
}

std::optional<Refusal> parse_status_line(std::string_view line, ResponseHead& head,
                                         Version& version) {
  constexpr Refusal malformed{502, "the status line is malformed"};
  version = parse_version(line.substr(0, std::min<std::size_t>(line.find(' '), line.size())));
  if (version == Version::malformed || version == Version::other) return malformed;
  line.remove_prefix(8);
  // The reason phrase and the space before it are often left out.
  if (line.size() < 4 || line[0] != ' ' || !is_all(line.substr(1, 3), digit_char) ||
      (line.size() > 4 && line[4] != ' ') || !is_all(line, value_char)) {
    return malformed;
  }
  const auto status = parse_small_number(line.substr(1, 3));
  if (!status || *status < 100 || *status > 599) return malformed;
  head.status = static_cast<std::uint16_t>(*status);
  return std::nullopt;
}

// The head without the one empty line that may come before it.
std::string_view without_leading_line(std::string_view head) {
  if (head.starts_with("\r\n")) head.remove_prefix(2);
  return head;
}

}  // namespace

HeadScanner::Outcome HeadScanner::refuse(std::uint16_t status, std::string_view reason) {
  refusal_ = {status, reason};
  return Outcome::refused;
}

HeadScanner::Outcome HeadScanner::scan(std::string_view bytes, std::size_t head_bytes_max) {
  // What does not begin like a line of text is another protocol, and may never send an LF.
  if (scanned_ == 0 && !bytes.empty() && bytes[0] != '\r' &&
      !is_all(bytes.substr(0, 1), token_char)) {
    return refuse(400, "this is not HTTP");
  }
  const std::string_view readable = bytes.substr(0, head_bytes_max);
  while (scanned_ < readable.size()) {
    const std::size_t line_end = readable.find('\n', scanned_);
    if (line_end == std::string_view::npos) {
      scanned_ = readable.size();
      break;
    }
    if (line_end == 0 || bytes[line_end - 1] != '\r') {
      return refuse(400, "a line ends in LF without CR");
    }
    const bool is_empty_line = line_end - 1 == line_start_;
    scanned_ = line_start_ = line_end + 1;
    ++line_count_;
    if (!is_empty_line) continue;
    if (line_count_ == 1) continue;
    if (scanned_ == 4 && line_count_ == 2) return refuse(400, "the head is empty");
    return Outcome::complete;
  }
  if (bytes.size() < head_bytes_max) return Outcome::incomplete;
  if (line_count_ == 0) return refuse(414, "the request line is too long");
  return refuse(431, "the header fields are too long");
}

std::optional<Refusal> parse_request_head(std::string_view head, ParsedRequest& parsed) {
  head = without_leading_line(head);
  Version version = Version::malformed;
  if (auto refusal = parse_request_line(take_line(head), parsed.head, version)) return refusal;
  FramingFields framing;
  if (auto refusal = parse_fields(head, parsed.head.headers, framing)) return refusal;
  if (auto refusal = check_host(parsed.head.headers, version)) return refusal;
  if (auto refusal = frame_request(framing, version, parsed.head.body)) return refusal;
  if (auto refusal = settle_target(parsed.head)) return refusal;
  parsed.is_persistent = is_persistent(framing, version);
  return note_expectations(parsed.head.headers, version, parsed);
}

std::optional<Refusal> parse_response_head(std::string_view head, AnsweredMethod method,
                                           ParsedResponse& parsed) {
  head = without_leading_line(head);
  Version version = Version::malformed;
  if (auto refusal = parse_status_line(take_line(head), parsed.head, version)) return refusal;
  FramingFields framing;
  if (auto refusal = parse_fields(head, parsed.head.headers, framing)) return refusal;
  // Connections to HTTP/1.0 servers are not kept, whatever they say: their keep-alive was never
  // standardised.
  parsed.is_persistent = version == Version::http_1_1 && !framing.has_close;
  note_keep_alive(parsed.head.headers, parsed);
  return frame_response(framing, method, parsed);
}

bool is_token(std::string_view text) {
  return !text.empty() && is_all(text, token_char);
}

bool is_request_target(std::string_view text) {
  return !text.empty() && is_all(text, target_char);
}

bool is_host(std::string_view text) {
  return text.find_first_of(" \t,/@?#\\") == std::string_view::npos;
}

bool list_contains(std::string_view list, std::string_view item) {
  bool is_found = false;
  for_each_item(list, [&](std::string_view one) { is_found |= equals_ignoring_case(one, item); });
  return is_found;
}

}  // namespace staithe::net
