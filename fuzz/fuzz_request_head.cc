#include <string>

#include "fuzz_input.h"
#include "net/head_encoder.h"
#include "net/head_parser.h"

namespace staithe::fuzz {
namespace {

// What we understood, written by our own encoder, must be understood the same way again: two
// readers that disagree about a request are how requests are smuggled.
void check_second_reading(const net::ParsedRequest& first) {
  net::ClientRequest request{
      .method = first.head.method, .target = first.head.target, .body = first.head.body};
  for (const net::HeaderView& field : first.head.headers) {
    request.headers.add(field.name, field.value);
  }
  std::string bytes;
  net::append_request_head(bytes, request, first.head.headers.find("host").value_or(""),
                           net::ConnectionOption::unsaid);
  net::ParsedRequest second;
  CHECK(scan_head(bytes, 1 << 20) == bytes.size());
  if (const auto refusal = net::parse_request_head(bytes, second)) {
    // HTTP/1.0 takes what 1.1 does not: here, an expectation. And to a request that has all the
    // fields it may have, our encoder adds the length of its empty body.
    CHECK(first.head.http_minor == 0 || refusal->status == 431);
    return;
  }
  CHECK(second.head.method == first.head.method && second.head.target == first.head.target);
  const bool is_sized_now = first.head.body.kind == net::BodyFraming::Kind::none;
  CHECK(is_sized_now || second.head.body.kind == first.head.body.kind);
  CHECK(second.head.body.length == first.head.body.length);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = text_of(data, size);
  const std::size_t head_size = scan_head(bytes, 4'096);
  if (head_size == 0) return 0;
  net::ParsedRequest parsed;
  if (net::parse_request_head(bytes.substr(0, head_size), parsed)) return 0;
  check_fields(parsed.head.headers);
  CHECK(net::is_token(parsed.head.method));
  CHECK(parsed.head.target == "*" || parsed.head.target.starts_with('/'));
  CHECK(parsed.head.path().size() + parsed.head.query().size() <= parsed.head.target.size());
  check_second_reading(parsed);
  return 0;
}

}  // namespace staithe::fuzz
