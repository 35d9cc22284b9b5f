#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/event_loop.h"
#include "net/http_client.h"

namespace staithe::runtime {

// What to ask an engine.
struct ProbeTarget {
  net::Endpoint endpoint;
  std::string health_path;
  std::string models_path;  // empty: health is enough
  std::string model_name;   // must be in the list at models_path
};

enum class ProbeDepth {
  health,     // it answers
  readiness,  // it answers, and the model is there to be used
};

// Asks one engine whether it serves, without blocking the loop. An engine opens its port long
// before its model is loaded, so a listening port or any answer but 200 proves nothing.
class Probe final : private net::ClientHandler {
 public:
  Probe(net::EventLoop& loop, net::HttpClient& client, std::chrono::milliseconds timeout);
  ~Probe() override;
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // The error, UNAVAILABLE, says for the operator who asked whom, where, and what came of it.
  using Done = std::function<void(Result<void> outcome)>;
  // Calls `done` later, once; a probe under way is given up and its `done` never called.
  void run(const ProbeTarget& target, ProbeDepth depth, Done done);
  void cancel();

 private:
  void on_head(const net::ResponseHead& head) override;
  void on_body(std::string_view bytes) override;
  void on_end() override;
  void on_failure(const net::ClientFailure& failure) override;

  void ask(const std::string& path);
  void fail(std::string_view what);
  void finish(Result<void> outcome);

  net::EventLoop& loop_;
  net::HttpClient& client_;
  const std::chrono::milliseconds timeout_;

  ProbeTarget target_;
  Done done_;
  bool is_models_next_ = false;  // after the question under way
  bool is_asking_models_ = false;
  std::uint16_t status_ = 0;
  std::string body_;
  net::TimerId timer_ = 0;
  std::unique_ptr<net::ClientExchange> exchange_;
};

// Whether an OpenAI model list (GET /v1/models) has a model of this name.
bool lists_model(std::string_view body, std::string_view model_name);

}  // namespace staithe::runtime
