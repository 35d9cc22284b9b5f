#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace staithe::tests {

// An answer of either HTTP version. Names in lower case.
struct HttpAnswer {
  using Fields = std::vector<std::pair<std::string, std::string>>;

  std::uint16_t status = 0;
  Fields headers;
  std::string body;
  Fields trailers;  // of HTTP/2

  // The first of this name, or nothing.
  static std::string find(const Fields& fields, std::string_view name) {
    for (const auto& [key, value] : fields) {
      if (key == name) return value;
    }
    return {};
  }
};

}  // namespace staithe::tests
