#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "golden/http_answer.h"

// gRPC and gRPC-Web as a foreign client reads them, below what they have in common with the other
// dialects.
namespace staithe::tests {

enum class GrpcFlavor { http2, web };

// A message behind its flags and length.
std::string envelop(std::string_view message);

// What an answer says: its messages, and its status from wherever this flavor puts that.
struct GrpcAnswer {
  std::vector<std::string> messages;
  int status = 0;
  std::string message;                 // decoded
  std::optional<std::string> details;  // a google.rpc.Status in binary
};
Result<GrpcAnswer> read_grpc(GrpcFlavor flavor, const HttpAnswer& answer);

}  // namespace staithe::tests
