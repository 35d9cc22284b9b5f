#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace staithe::net {

// Header fields in the order they were sent, names as they were sent; lookups ignore letter case.
// Views point into a buffer that outlives only the callback they are handed to.
struct HeaderView {
  std::string_view name;
  std::string_view value;
};

class HeaderList {
 public:
  void add(std::string_view name, std::string_view value) { fields_.push_back({name, value}); }
  // A string that dies with the call is not for a list of views.
  template <typename S>
    requires std::same_as<S, std::string>
  void add(std::string_view name, S&& value) = delete;
  void clear() { fields_.clear(); }
  void reserve(std::size_t count) { fields_.reserve(count); }
  // The first field with this name.
  std::optional<std::string_view> find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }
  std::size_t size() const { return fields_.size(); }

 private:
  std::vector<HeaderView> fields_;
};

// Fields that own their bytes, for whoever keeps a head. Views into it survive a move.
class OwnedHeaders {
 public:
  OwnedHeaders() = default;
  explicit OwnedHeaders(const HeaderList& fields);
  OwnedHeaders(OwnedHeaders&&) = default;
  OwnedHeaders& operator=(OwnedHeaders&&) = default;

  const HeaderList& list() const { return fields_; }
  std::optional<std::string_view> find(std::string_view name) const { return fields_.find(name); }

 private:
  std::unique_ptr<char[]> bytes_;
  HeaderList fields_;
};

// How a body's end is known.
struct BodyFraming {
  enum class Kind : std::uint8_t { none, length, chunked, until_close };
  Kind kind = Kind::none;
  std::uint64_t length = 0;
};

struct RequestHead {
  std::string_view method;
  std::string_view target;  // as sent: path and query, undecoded
  HeaderList headers;
  std::uint8_t http_major = 1;
  std::uint8_t http_minor = 1;
  BodyFraming body;

  std::string_view path() const { return target.substr(0, target.find('?')); }
  std::string_view query() const {
    const auto mark = target.find('?');
    return mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  }
};

// An answer's head as it came from an upstream.
struct ResponseHead {
  std::uint16_t status = 200;
  HeaderList headers;
  BodyFraming body;
};

std::string_view reason_phrase(std::uint16_t status);
// Connection, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade (RFC 9110
// section 7.6.1), and whatever the message's own Connection header names.
bool is_hop_by_hop(std::string_view name);

}  // namespace staithe::net
