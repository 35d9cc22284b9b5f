#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "net/head_parser.h"

namespace staithe::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The size of the head at the front of `bytes`; 0 when there is none. The same must come out when
// the bytes come one at a time.
inline std::size_t scan_head(std::string_view bytes, std::size_t head_bytes_max) {
  using Outcome = net::HeadScanner::Outcome;
  net::HeadScanner at_once;
  const Outcome outcome = at_once.scan(bytes, head_bytes_max);

  net::HeadScanner piecemeal;
  Outcome piecemeal_outcome = Outcome::incomplete;
  for (std::size_t size = 1; size <= bytes.size() && piecemeal_outcome == Outcome::incomplete;
       ++size) {
    piecemeal_outcome = piecemeal.scan(bytes.substr(0, size), head_bytes_max);
  }
  CHECK(piecemeal_outcome == outcome);
  if (outcome != Outcome::complete) return 0;
  CHECK(piecemeal.head_size() == at_once.head_size());
  CHECK(at_once.head_size() <= bytes.size() && at_once.head_size() <= head_bytes_max);
  return at_once.head_size();
}

// No field of an accepted head can end a line or hide a second one.
inline void check_fields(const net::HeaderList& headers) {
  for (const net::HeaderView& field : headers) {
    CHECK(net::is_token(field.name));
    CHECK(field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
  }
}

}  // namespace staithe::fuzz
