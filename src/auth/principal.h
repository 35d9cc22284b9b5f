#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace staithe::auth {

enum class Role : std::uint8_t { viewer = 1, admin = 2 };

// Who calls.
struct Principal {
  std::string organization;  // six characters
  Role role = Role::viewer;
  std::string token_id;  // of the token's record, for logs and usage; never the token
  std::string token_name;

  bool may(Role needed) const { return role >= needed; }
  bool operator==(const Principal&) const = default;
};

}  // namespace staithe::auth
