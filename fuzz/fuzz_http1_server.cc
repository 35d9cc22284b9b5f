#include "server_harness.h"

namespace staithe::fuzz {

// Whatever a client sends and however it is cut: what is answered is HTTP/1.1.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes = text_of(data, size);
  Choices choices(bytes);
  if (bytes.starts_with("PRI")) return 0;  // fuzz_http2_server's
  ServerHarness server(choices);
  const std::string answer = server.run(bytes);
  CHECK_THAT(answer.empty() || answer.starts_with("HTTP/1.1 "), answer);
  return 0;
}

}  // namespace staithe::fuzz
