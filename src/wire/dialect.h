#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "wire/method.h"

namespace staithe::wire {

// A request as the transport hands it over, once its body is whole.
struct RawRequest {
  std::string method;
  std::string path;   // undecoded
  std::string query;  // undecoded
  std::optional<std::string> content_type;
  std::optional<std::string> content_encoding;
  std::optional<std::string> connect_protocol_version;
  std::string body;
};

struct RawAnswer {
  std::uint16_t status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// One protocol around the same call. Stateless; a dialect is chosen by path, decides how a request
// is read and how its outcome is written, and knows no service.
class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual std::string_view name() const = 0;  // for metrics
  virtual Spelling spelling() const = 0;

  // Which method is called, before anything else of the request is looked at. An answer at once
  // means that there is none: a path, verb or media type nobody serves.
  struct Chosen {
    const Method* method = nullptr;
    RawAnswer refusal;  // when method is null
  };
  virtual Chosen choose(const RawRequest& request) const = 0;
  virtual Result<MessagePtr> read(const Method& method, RawRequest& request) const = 0;
  virtual RawAnswer write(const google::protobuf::Message& message,
                          const RawRequest& request) const = 0;
  virtual RawAnswer write_error(const Error& error) const = 0;
};

// "application/json; charset=utf-8" without its parameters, in lower case.
std::string media_type_of(std::string_view content_type);

// The body with its Content-Encoding taken off; INVALID_ARGUMENT when it is not gzip, UNIMPLEMENTED
// for any other encoding, RESOURCE_EXHAUSTED when it grows beyond `bytes_max`.
Result<std::string> decode_body(std::string body,
                                const std::optional<std::string>& content_encoding,
                                std::size_t bytes_max);

}  // namespace staithe::wire
