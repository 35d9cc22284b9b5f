#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http_message.h"

namespace staithe::gateway {

// Which web pages of other origins may call gateways (the CORS protocol of
// https://fetch.spec.whatwg.org). A browser asks; other clients do not care. Any thread.
class CorsPolicy {
 public:
  CorsPolicy() = default;  // none may, and engines may say what they like
  // "https://app.example.com", or "*" for all. As a browser spells an origin: without a slash.
  explicit CorsPolicy(std::vector<std::string> origins) : origins_(std::move(origins)) {}

  bool is_on() const { return !origins_.empty(); }
  // The origin of the page that asks, if it may.
  std::string_view allowed_origin(const net::RequestHead& head) const;

 private:
  std::vector<std::string> origins_;
};

// Whether a browser asks if it may ask.
bool is_preflight(const net::RequestHead& head);
// What it is told, beside the origin. Views into `head`.
void add_preflight_headers(const net::RequestHead& head, net::HeaderList& headers);
// What lets the page read any answer. `origin` may be empty: the page may not.
void add_cors_headers(std::string_view origin, net::HeaderList& headers);

}  // namespace staithe::gateway
