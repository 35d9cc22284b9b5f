#pragma once

#include "base/result.h"
#include "golden/http_answer.h"
#include "net/blocking_client.h"

namespace staithe::tests {

// One whole request over HTTP/2 with prior knowledge, on the calling thread and on a connection of
// its own: what net::send_blocking is over HTTP/1.1. The host is an IPv4 address; there is no TLS.
Result<HttpAnswer> send_http2(const net::BlockingRequest& request);

}  // namespace staithe::tests
