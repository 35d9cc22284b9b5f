#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "base/worker_pool.h"
#include "gateway/wandb_keys.h"
#include "net/tls_context.h"

namespace staithe::app {

// Asks Weights & Biases whose an API key is, for gateway::WandbKeys: one request a key, on threads
// of its own. Keys go there and nowhere else. Any thread.
class WandbClient {
 public:
  // `url` is the GraphQL endpoint's, such as https://api.wandb.ai/graphql; INVALID_ARGUMENT if it
  // is none.
  static Result<std::unique_ptr<WandbClient>> open(const std::string& url,
                                                   std::chrono::milliseconds timeout,
                                                   const Log& log);
  // Waits for the questions that are under way. The others are answered: unknown.
  ~WandbClient();
  WandbClient(const WandbClient&) = delete;
  WandbClient& operator=(const WandbClient&) = delete;

  // Calls `done` once: on a thread of ours, or at once where too many wait.
  void ask(std::string key, const gateway::WandbKeys::Done& done);

 private:
  struct Endpoint {
    std::string host;
    std::uint16_t port = 0;
    std::string target;
    std::shared_ptr<const net::TlsClientContext> tls;  // null: cleartext
  };

  WandbClient(Endpoint endpoint, std::chrono::milliseconds timeout, const Log& log);
  gateway::KeyAnswer send(const std::string& key);
  void note(bool is_answering, std::string_view problem);

  const Endpoint endpoint_;
  const std::chrono::milliseconds timeout_;
  const Log& log_;
  std::atomic<bool> is_answering_{true};  // as far as the log has been told
  std::atomic<bool> is_stopping_{false};
  WorkerPool workers_;
};

}  // namespace staithe::app
