#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "net/event_loop.h"
#include "net/http_client.h"

namespace staithe::bench {

struct LoadOptions {
  net::Endpoint target;
  std::string path = "/v1/chat/completions";
  std::string token;
  std::size_t request_count = 1;
  std::size_t connection_count = 1;  // closed loop: so many requests are under way at any time
  double rate = 0;                   // open loop, requests per second; 0: closed loop
  std::uint64_t chunk_count = 0;     // 0: no stream
  std::int64_t interval_ms = 0;
  std::size_t prompt_bytes = 1200;
  bool are_prompts_unique = false;
  bool is_rewritten = false;  // the peer makes answers of its own: RewrittenAnswer
};

// Sends requests and checks every answer. In an open loop they come at random times, whatever
// became of those before, and an answer's time counts from the moment its request was due.
class Load final : private net::FdHandler {
 public:
  Load(net::EventLoop& loop, LoadOptions options);
  ~Load() override;

  void start();
  // Done is what was sent so far.
  void send_no_more() { options_.request_count = started_count_; }
  bool is_done() const { return done_count_ + failed_count_ >= options_.request_count; }
  std::size_t streaming_count() const { return first_byte_us_.size(); }
  // One line of JSON.
  std::string report(Duration elapsed);

 private:
  class Request;

  void on_ready(std::uint32_t epoll_events) override;
  void wait_for_next_arrival();
  void start_request(Instant due);
  void start_next_of_closed_loop();
  void finished(Request& request, bool is_good);
  const std::string& next_body();

  net::EventLoop& loop_;
  net::HttpClient client_;
  LoadOptions options_;
  std::string body_;
  std::size_t number_at_;  // in body_: where a prompt's own number goes
  std::string authorization_;
  UniqueFd arrival_timer_;  // the loop's own timers count in milliseconds
  Instant next_arrival_;
  std::minstd_rand random_;
  std::unordered_map<Request*, std::unique_ptr<Request>> running_;
  std::vector<std::int64_t> first_byte_us_;
  std::vector<std::int64_t> chunk_us_;
  std::size_t started_count_ = 0;
  std::size_t done_count_ = 0;
  std::size_t failed_count_ = 0;
};

}  // namespace staithe::bench
