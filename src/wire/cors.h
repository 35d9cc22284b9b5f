#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/dialect.h"

namespace staithe::wire {

// Which web pages of other origins may call (the CORS protocol of https://fetch.spec.whatwg.org).
// A browser asks; other clients do not care. Any thread.
class CorsPolicy {
 public:
  CorsPolicy() = default;  // none may
  // "https://console.example.com", or "*" for all. As a browser spells an origin: without a slash.
  explicit CorsPolicy(std::vector<std::string> origins) : origins_(std::move(origins)) {}

  // The answer to a preflight request, to be allowed like any other; nothing if it is none.
  std::optional<RawAnswer> answer_preflight(const RawRequest& request) const;
  // Adds what lets the page read an answer. Once: a browser takes a field given twice for a
  // refusal.
  void allow(const RawRequest& request, Metadata& headers) const;

 private:
  bool is_allowed(std::string_view origin) const;
  std::vector<std::string> origins_;
};

}  // namespace staithe::wire
