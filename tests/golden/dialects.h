#pragma once

#include <nlohmann/json.hpp>

#include <array>
#include <string>
#include <string_view>

#include "base/result.h"
#include "golden/http_answer.h"
#include "net/blocking_client.h"
#include "wire/method.h"

// The five ways to say one call, written without the product's own mapper and codecs: what a
// foreign client would send, and what it would make of the answer.
namespace staithe::tests {

enum class Dialect { rest, connect_json, connect_binary, grpc, grpc_web };
inline constexpr std::array all_dialects = {Dialect::rest, Dialect::connect_json,
                                            Dialect::connect_binary, Dialect::grpc,
                                            Dialect::grpc_web};
std::string_view dialect_name(Dialect dialect);

enum class HttpVersion { http1, http2 };
HttpVersion http_version(Dialect dialect);

// An answer in one shape for all dialects: `code` is "OK" or the canonical name; `body` is the
// message as JSON, or an error as
// {"message": ..., "details": [{"@type": ..., ...}]}.
struct Answer {
  std::string code;
  nlohmann::json body;
};

// The request as HTTP; host, port and credentials are the caller's business. INVALID_ARGUMENT when
// the JSON cannot be said in this dialect (a wrong type in binary).
Result<net::BlockingRequest> draw_request(Dialect dialect, const wire::Method& method,
                                          const std::string& json);

Result<Answer> read_answer(Dialect dialect, const wire::Method& method, const HttpAnswer& answer);

}  // namespace staithe::tests
