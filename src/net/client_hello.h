#pragma once

#include <cstdint>
#include <string_view>

namespace staithe::net {

// The type of the record that TLS begins with (RFC 8446 section 5.1). No HTTP begins like that.
inline constexpr char tls_handshake_record = 0x16;

// What can be told of a connection's first bytes.
enum class ClientHello : std::uint8_t {
  incomplete,  // its first record goes on
  complete,    // its first record is there, and says that what it begins is of a sane length
  other,       // is none, or would be larger than any client's
};
ClientHello look_at_client_hello(std::string_view bytes);

}  // namespace staithe::net
