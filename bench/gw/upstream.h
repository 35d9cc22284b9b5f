#pragma once

#include <string>

#include "net/http_server.h"

namespace staithe::bench {

// Streams like an engine and costs next to nothing. The prompt says how many chunks, and how far
// apart (StreamPlan). The second comes after a random part of that time, so that streams begun
// together do not stay in step.
class Upstream final : public net::RequestRouter {
 public:
  explicit Upstream(std::string model) : model_(std::move(model)) {}
  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override;

 private:
  std::string model_;
};

}  // namespace staithe::bench
