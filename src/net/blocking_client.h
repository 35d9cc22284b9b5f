#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/http_client.h"
#include "net/tls_context.h"

namespace staithe::net {

struct BlockingRequest {
  std::string host;  // an IP address or a name
  std::uint16_t port = 0;
  std::shared_ptr<const TlsClientContext> tls;  // null: cleartext
  std::string method = "GET";
  std::string target = "/";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds timeout{10'000};  // for the whole exchange
  std::size_t answer_bytes_max = 64 * 1024 * 1024;
};

struct BlockingAnswer {
  std::uint16_t status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
};

// One whole request on the calling thread, for the CLI, probes and tests. Not for an event loop.
// UNAVAILABLE when the peer cannot be reached or trusted, DEADLINE_EXCEEDED when it is too slow.
Result<BlockingAnswer> send_blocking(const BlockingRequest& request);

}  // namespace staithe::net
