#include "fuzz_input.h"
#include "net/head_parser.h"

namespace staithe::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using Kind = net::BodyFraming::Kind;
  const std::string_view bytes = text_of(data, size);
  const std::size_t head_size = scan_head(bytes, 4'096);
  if (head_size == 0) return 0;
  const std::string_view head = bytes.substr(0, head_size);

  net::ParsedResponse to_head;
  net::ParsedResponse to_get;
  const bool is_refused =
      net::parse_response_head(head, net::AnsweredMethod::other, to_get).has_value();
  if (!net::parse_response_head(head, net::AnsweredMethod::head, to_head)) {
    CHECK(to_head.head.body.kind == Kind::none);
  } else {
    CHECK(is_refused);
  }
  if (is_refused) return 0;
  check_fields(to_get.head.headers);
  CHECK(to_get.head.status >= 100 && to_get.head.status <= 599);
  CHECK(!to_get.is_persistent || to_get.head.body.kind != Kind::until_close);
  return 0;
}

}  // namespace staithe::fuzz
