#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "net/http_server.h"
#include "net/loopback_test_kit.h"

namespace staithe::net::testing {

// A server whose answers a test scripts and whose clock it holds.
class ServerTest : public ::testing::Test {
 protected:
  void start(ServerLimits limits = {}, TlsPolicy tls_policy = {}) {
    Listener listener = listen_on_loopback();
    port_ = listener.port;
    server_ = std::make_unique<HttpServer>(loop_, router_, std::move(listener), limits, tls_policy);
  }
  void answer_at_end(std::string body) {
    router_.when_ended = [body](Seen& seen) { ScriptedRouter::answer(seen, body); };
  }
  void advance(Duration by) {
    clock_.advance(by);
    run_turns(loop_, 2);
  }

  FakeClock clock_;
  EventLoop loop_{clock_};
  ScriptedRouter router_;
  std::unique_ptr<HttpServer> server_;
  std::uint16_t port_ = 0;
};

}  // namespace staithe::net::testing
