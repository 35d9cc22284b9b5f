#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/exchange.h"
#include "net/http_client.h"
#include "net/http_message.h"

namespace staithe::net {

enum class ConnectionOption : std::uint8_t {
  unsaid,  // HTTP/1.1 keeps the connection
  close,
  keep_alive,  // for HTTP/1.0, which does not
};

// What the connection decided about an answer.
struct AnswerFraming {
  // `none` and `until_close` say nothing, `length` gives Content-Length.
  BodyFraming body;
  ConnectionOption connection = ConnectionOption::unsaid;
  std::string_view date;
};

// They put a head of HTTP/1.1 after `out` (RFC 9112). Framing fields among the caller's are left
// out, and characters that would end a line become spaces, so that no value can forge a message.
void append_answer_head(std::string& out, const AnswerHead& head, const AnswerFraming& framing);
void append_request_head(std::string& out, const ClientRequest& request, std::string_view host,
                         ConnectionOption connection);
// The last chunk and the trailer section behind it (RFC 9112 section 7.1.2), likewise.
void append_chunked_end(std::string& out, const HeaderList& trailers);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), drawn once a second.
class HttpDate {
 public:
  std::string_view at(Timestamp time);

 private:
  std::int64_t second_ = -1;
  std::string text_;
};

}  // namespace staithe::net
