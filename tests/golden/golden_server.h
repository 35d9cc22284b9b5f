#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "golden/dialects.h"
#include "golden/http_answer.h"
#include "net/blocking_client.h"
#include "wire/method.h"

namespace staithe::tests {

enum class StoreKind { memory, sqlite };

// The whole API on a real socket: one store, the services, the reconcilers on a fake driver and a
// clock that stands still. Offers four zones, three instance types and two engines.
class GoldenServer {
 public:
  GoldenServer(StoreKind store_kind, const std::map<std::string, std::string>& options);
  ~GoldenServer();

  const wire::MethodTable& methods() const;
  // Sends a request, with the token of `caller` ("admin", "viewer", "stranger", "nobody").
  Result<HttpAnswer> send(net::BlockingRequest request, HttpVersion version,
                          const std::string& caller);
  // Runs the reconcilers until nothing is left to do.
  void settle();
  void advance(std::chrono::milliseconds by);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace staithe::tests
