#include "base/encoding.h"
#include "fuzz_input.h"
#include "net/http_message.h"

namespace staithe::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = text_of(data, size);
  const std::string encoded = percent_encode(text);
  CHECK(net::is_request_target("/" + encoded));
  CHECK(percent_decode(encoded) == text);

  const net::RequestHead head{.target = text};
  for (const std::string_view part : {head.path(), head.query()}) {
    const auto decoded = percent_decode(part);
    CHECK(!decoded || decoded->size() <= part.size());
    CHECK(!decoded || percent_decode(percent_encode(*decoded)) == decoded);
  }
  return 0;
}

}  // namespace staithe::fuzz
