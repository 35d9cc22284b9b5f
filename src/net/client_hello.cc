#include "net/client_hello.h"

#include <cstddef>

namespace staithe::net {
namespace {

// RFC 8446 section 5.1 and section 4.
constexpr std::size_t record_head_size = 5;
constexpr std::size_t message_head_size = 4;
constexpr std::size_t record_bytes_max = 16 * 1024;
constexpr char version_major = 3;
constexpr char client_hello_message = 1;
// With keys that withstand quantum computers it is two kilobytes. OpenSSL would take eight times
// this, and make room for it as soon as it is announced.
constexpr std::size_t message_bytes_max = 16 * 1024;

std::size_t number(std::string_view bytes) {
  std::size_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

}  // namespace

ClientHello look_at_client_hello(std::string_view bytes) {
  if (bytes.empty()) return ClientHello::incomplete;
  if (bytes[0] != tls_handshake_record) return ClientHello::other;
  if (bytes.size() > 1 && bytes[1] != version_major) return ClientHello::other;
  if (bytes.size() < record_head_size) return ClientHello::incomplete;
  const std::size_t record_size = number(bytes.substr(3, 2));
  if (record_size < message_head_size || record_size > record_bytes_max) return ClientHello::other;
  const std::string_view message = bytes.substr(record_head_size);
  if (!message.empty() && message[0] != client_hello_message) return ClientHello::other;
  if (message.size() < message_head_size) return ClientHello::incomplete;
  if (number(message.substr(1, 3)) > message_bytes_max) return ClientHello::other;
  return message.size() < record_size ? ClientHello::incomplete : ClientHello::complete;
}

}  // namespace staithe::net
