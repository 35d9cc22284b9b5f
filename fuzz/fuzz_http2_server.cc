#include "server_harness.h"

namespace staithe::fuzz {
namespace {

constexpr std::size_t frame_head_bytes = 9;
// The preface and a SETTINGS frame that changes nothing (RFC 9113 section 3.4).
constexpr std::string_view opening("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);

// Every frame of an answer is of a size that we may send, and only the last may be cut off.
void check_frames(std::string_view bytes) {
  for (bool is_first = true; bytes.size() >= frame_head_bytes; is_first = false) {
    std::size_t size = 0;
    for (const char byte : bytes.substr(0, 3)) size = size << 8 | static_cast<unsigned char>(byte);
    CHECK(size <= 16'384);
    CHECK(!is_first || bytes[3] == 4);
    bytes.remove_prefix(std::min(bytes.size(), frame_head_bytes + size));
  }
}

}  // namespace

// The input is what a client sends behind its opening.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes = text_of(data, size);
  Choices choices(bytes);
  ServerHarness server(choices);
  check_frames(server.run(std::string(opening) + std::string(bytes)));
  return 0;
}

}  // namespace staithe::fuzz
