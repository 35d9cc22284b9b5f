#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/thread.h"
#include "bench/must.h"
#include "gw/upstream.h"
#include "net/event_loop.h"
#include "net/http_server.h"

namespace staithe::bench {

// A simulated engine on a port of its own, which knows when its first request came.
class Engine final : public net::RequestRouter {
 public:
  explicit Engine(const Clock& clock) : clock_(clock), upstream_("bench") {}

  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override {
    if (request_count_.fetch_add(1, std::memory_order_relaxed) == 0) {
      first_request_.set_value(clock_.instant());
    }
    return upstream_.on_request(head, exchange);
  }

  std::future<Instant> first_request() { return first_request_.get_future(); }  // once
  std::uint64_t request_count() const { return request_count_.load(std::memory_order_relaxed); }

 private:
  const Clock& clock_;
  Upstream upstream_;
  std::atomic<std::uint64_t> request_count_{0};
  std::promise<Instant> first_request_;
};

// Engines that come and go, all on one thread.
class EngineHost {
 public:
  explicit EngineHost(const Clock& clock)
      : clock_(clock), loop_(clock), thread_("engines", [this] { loop_.run(); }) {}
  ~EngineHost() {
    on_loop([this] { servers_.clear(); });
    loop_.post([this] { loop_.stop(); });
    thread_.join();
  }
  EngineHost(const EngineHost&) = delete;
  EngineHost& operator=(const EngineHost&) = delete;

  std::pair<std::shared_ptr<Engine>, std::uint16_t> start() {
    auto engine = std::make_shared<Engine>(clock_);
    std::uint16_t port = 0;
    on_loop([&] {
      net::Listener listener = must(net::listen_on({.host = "127.0.0.1", .port = 0}));
      port = listener.port;
      servers_.emplace(engine,
                       std::make_unique<net::HttpServer>(loop_, *engine, std::move(listener)));
    });
    return {std::move(engine), port};
  }

  // As an engine that is told to end: what is still open breaks off.
  void end(const std::shared_ptr<Engine>& engine) {
    on_loop([&] {
      loop_.destroy_later(std::move(servers_.at(engine)));
      servers_.erase(engine);
    });
    on_loop([] {});  // the turn that destroys it is over
  }

 private:
  void on_loop(const std::function<void()>& work) {
    std::promise<void> done;
    loop_.post([&] {
      work();
      done.set_value();
    });
    done.get_future().get();
  }

  const Clock& clock_;
  net::EventLoop loop_;
  std::map<std::shared_ptr<Engine>, std::unique_ptr<net::HttpServer>> servers_;  // of the thread
  Thread thread_;
};

}  // namespace staithe::bench
