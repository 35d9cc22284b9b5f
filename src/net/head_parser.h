#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "net/http_message.h"

namespace staithe::net {

// Header fields in one head, whichever HTTP version carries it.
inline constexpr std::size_t field_count_max = 256;

// Why a message was refused: the status to answer a client with, and a sentence. `reason` is
// static.
struct Refusal {
  std::uint16_t status = 400;
  std::string_view reason;
};

// Finds where a head ends in bytes that come in pieces, looking at each byte once. One empty line
// before the head is skipped (RFC 9112 section 2.2); a line that ends in a bare LF is refused.
class HeadScanner {
 public:
  enum class Outcome : std::uint8_t { incomplete, complete, refused };

  // `bytes` is everything since the last head, each time longer than before.
  Outcome scan(std::string_view bytes, std::size_t head_bytes_max);
  // Once complete: the size of the head with its last, empty line.
  std::size_t head_size() const { return scanned_; }
  // Once refused.
  const Refusal& refusal() const { return refusal_; }

 private:
  Outcome refuse(std::uint16_t status, std::string_view reason);

  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_count_ = 0;  // with the skipped empty one
  Refusal refusal_;
};

struct ParsedRequest {
  RequestHead head;
  bool is_persistent = true;  // the client wants to go on with this connection
  bool expects_continue = false;
};

struct ParsedResponse {
  ResponseHead head;
  bool is_persistent = true;  // the server is ready to go on with this connection
  std::optional<std::uint32_t> keep_alive_timeout_s;
  std::optional<std::uint32_t> keep_alive_requests_max;
};

// Both read one whole head as HeadScanner found it, into `parsed`, whose views point into `head`.
// They are strict where leniency lets two readers disagree about where a message ends: RFC 9112
// sections 3 to 7, RFC 9110 section 5.
std::optional<Refusal> parse_request_head(std::string_view head, ParsedRequest& parsed);

// What the answered request was decides whether there is a body (RFC 9112 section 6.3).
enum class AnsweredMethod : std::uint8_t { head, other };
std::optional<Refusal> parse_response_head(std::string_view head, AnsweredMethod method,
                                           ParsedResponse& parsed);

bool is_token(std::string_view text);           // RFC 9110 section 5.6.2; not empty
bool is_request_target(std::string_view text);  // visible ASCII without '#'; not empty
// What Host may say: no list, no user, no path, so that nobody reads another host in it.
bool is_host(std::string_view text);
// True when the comma-separated `list` holds `item`, whatever its letter case.
bool list_contains(std::string_view list, std::string_view item);

}  // namespace staithe::net
