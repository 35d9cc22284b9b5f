#include "fuzz_input.h"
#include "net/client_hello.h"

namespace staithe::fuzz {

// More bytes never take back what was told.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using net::ClientHello;
  const std::string_view bytes = text_of(data, size);
  ClientHello before = ClientHello::incomplete;
  for (std::size_t taken = 0; taken <= size && taken <= 20'000; ++taken) {
    const ClientHello now = net::look_at_client_hello(bytes.substr(0, taken));
    CHECK(before == ClientHello::incomplete || now == before);
    before = now;
  }
  return 0;
}

}  // namespace staithe::fuzz
