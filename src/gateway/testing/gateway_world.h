#pragma once

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/token_table.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/unique_fd.h"
#include "gateway/gateway.h"
#include "gateway/route_table_slot.h"
#include "net/http_server.h"
#include "net/loopback_test_kit.h"

// A gateway between scripted engines and raw clients, over real loopback sockets on the test's own
// thread. Nothing here sleeps: the loop is turned until something holds.
namespace staithe::gateway::testing {

using net::testing::RawListener;
using net::testing::RawPeer;

inline constexpr std::string_view key = "key-of-org001";
inline constexpr std::string_view foreign_key = "key-of-org002";

// An HTTP/1.1 message taken apart. `is_whole` says that its body ended as its framing wants.
struct Message {
  std::string first_line;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;                                          // without chunk framing
  std::size_t size_bytes = 0;                                // of the whole message
  bool is_chunked = false;
  bool is_whole = false;

  int status() const { return first_line.size() < 12 ? 0 : std::stoi(first_line.substr(9, 3)); }
  std::string header(std::string_view name) const {
    for (const auto& [key_text, value] : headers) {
      if (key_text == name) return value;
    }
    return "";
  }
  std::size_t count(std::string_view name) const {
    return static_cast<std::size_t>(std::count_if(
        headers.begin(), headers.end(), [name](const auto& one) { return one.first == name; }));
  }
  bool has(std::string_view name) const { return count(name) > 0; }
};

inline void read_chunks(std::string_view rest, Message& message, std::size_t head_size) {
  const std::size_t total = rest.size();
  while (true) {
    const auto line_end = rest.find("\r\n");
    if (line_end == std::string_view::npos) return;
    std::size_t size = 0;
    std::from_chars(rest.data(), rest.data() + line_end, size, 16);
    if (rest.size() < line_end + 2 + size + 2) {
      message.body += rest.substr(std::min(line_end + 2, rest.size()), size);
      return;
    }
    message.body += rest.substr(line_end + 2, size);
    rest.remove_prefix(line_end + 2 + size + 2);
    if (size == 0) break;
  }
  message.is_whole = true;
  message.size_bytes = head_size + total - rest.size();
}

// What there is of the message at the front of `bytes`; nothing before its head is complete.
inline std::optional<Message> parse_message(std::string_view bytes) {
  const auto head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) return std::nullopt;
  Message message;
  std::string_view head = bytes.substr(0, head_end);
  bool is_first = true;
  while (!head.empty()) {
    const auto line_end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, line_end);
    head.remove_prefix(std::min(line_end + 2, head.size()));
    if (std::exchange(is_first, false)) {
      message.first_line = line;
      continue;
    }
    const auto colon = line.find(": ");
    message.headers.emplace_back(to_lower(line.substr(0, colon)), line.substr(colon + 2));
  }
  const std::size_t head_size = head_end + 4;
  const std::string_view rest = bytes.substr(head_size);
  message.is_chunked = to_lower(message.header("transfer-encoding")) == "chunked";
  if (message.is_chunked) {
    read_chunks(rest, message, head_size);
    return message;
  }
  std::size_t length = 0;
  const std::string text = message.header("content-length");
  std::from_chars(text.data(), text.data() + text.size(), length);
  message.body = rest.substr(0, length);
  message.is_whole = rest.size() >= length;
  message.size_bytes = head_size + length;
  return message;
}

// A listening engine. By itself it only takes connections; with `is_reading` it also takes what is
// sent on them, and with `script` it answers every whole request at once.
class FakeEngine {
 public:
  std::function<std::string(const Message& request)> script;
  bool is_reading = false;

  std::uint16_t port() const { return listener_.port(); }
  std::size_t connection_count() const { return peers_.size(); }
  RawPeer& peer(std::size_t index) { return *peers_.at(index); }
  std::size_t request_count() const { return request_count_; }
  void refuse_connections() { listener_.close(); }

  // The whole request that waits unanswered on connection `index`.
  std::optional<Message> request(std::size_t index) {
    if (index >= peers_.size()) return std::nullopt;
    auto message = parse_message(peers_[index]->received());
    return message && message->is_whole ? std::move(message) : std::nullopt;
  }

  void poll() {
    while (auto peer = listener_.try_accept()) {
      peers_.push_back(std::make_unique<RawPeer>(std::move(*peer)));
    }
    if (is_reading) {
      for (const auto& peer : peers_) peer->received();
    }
    if (!script) return;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      const auto message = request(i);
      if (!message) continue;
      ++request_count_;
      peers_[i]->forget_received();
      peers_[i]->send(script(*message));
    }
  }

 private:
  RawListener listener_;
  std::vector<std::unique_ptr<RawPeer>> peers_;
  std::size_t request_count_ = 0;
};

inline std::string answer_with(std::string_view body, std::string_view status = "200 OK",
                               std::string_view headers = "Content-Type: application/json\r\n") {
  return fmt::format("HTTP/1.1 {}\r\n{}Content-Length: {}\r\n\r\n{}", status, headers, body.size(),
                     body);
}
inline std::string chunk(std::string_view bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}
inline constexpr std::string_view last_chunk = "0\r\n\r\n";
inline constexpr std::string_view stream_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "Transfer-Encoding: chunked\r\n\r\n";

// A request to the gateway "gw", with the right key unless told otherwise.
inline std::string request_text(std::string_view method, std::string_view target,
                                std::string_view body, std::string_view headers = {},
                                std::string_view authorization = key) {
  const std::string auth_line =
      authorization.empty() ? "" : fmt::format("Authorization: Bearer {}\r\n", authorization);
  const std::string length_line =
      body.empty() ? "" : fmt::format("Content-Length: {}\r\n", body.size());
  return fmt::format("{} {} HTTP/1.1\r\nHost: gateway.test\r\n{}{}{}\r\n{}", method, target,
                     auth_line, headers, length_line, body);
}
inline std::string post(std::string_view path, std::string_view body,
                        std::string_view headers = "Content-Type: application/json\r\n",
                        std::string_view authorization = key) {
  return request_text("POST", fmt::format("/gateways/gw{}", path), body, headers, authorization);
}
inline std::string chat(std::string_view model = "model-a") {
  return post("/v1/chat/completions",
              fmt::format(R"({{"model":"{}","stream":true,"messages":[]}})", model));
}
inline std::string get(std::string_view path, std::string_view headers = {},
                       std::string_view authorization = key) {
  return request_text("GET", fmt::format("/gateways/gw{}", path), "", headers, authorization);
}

class GatewayWorld {
 public:
  explicit GatewayWorld(const Options& options = {})
      : log_fd_(::memfd_create("log", MFD_CLOEXEC)),
        log_(log_fd_.get(), LogLevel::debug),
        gateway_(loop_, clock_, random_, tokens_, slot_, metrics_, log_, options) {
    tokens_.replace(std::make_shared<const auth::TokenSnapshot>(std::vector<auth::Token>{
        {.id = "t1", .hash = auth::hash_token(key), .organization = "org001"},
        {.id = "t2", .hash = auth::hash_token(foreign_key), .organization = "org002"}}));
    route = {.id = "gw", .name = "gw", .organization = "org001"};
    net::Listener listener = net::testing::listen_on_loopback();
    port_ = listener.port;
    server_ = std::make_unique<net::HttpServer>(loop_, gateway_, std::move(listener));
  }

  // The one gateway; publish() puts it in force.
  GatewayRoute route;
  std::vector<GatewayRoute> other_gateways;

  // A new replica of a deployment, which is made if it is not there yet.
  FakeEngine& add_engine(const std::string& deployment = "dep-a",
                         const std::string& model = "model-a", std::uint32_t weight = 0) {
    FakeEngine& engine = *engines_.emplace_back(std::make_unique<FakeEngine>());
    DeploymentRoute& target = this->deployment(deployment);
    target.model = model;
    target.weight = weight;
    target.ready_replicas.push_back({fmt::format("{}-{}", deployment, engines_.size()),
                                     {.host = "127.0.0.1", .port = engine.port()}});
    publish();
    return engine;
  }
  DeploymentRoute& deployment(const std::string& id) {
    for (DeploymentRoute& one : route.deployments) {
      if (one.id == id) return one;
    }
    return route.deployments.emplace_back(DeploymentRoute{.id = id});
  }
  void publish() {
    GatewayRoutes gateways;
    for (const GatewayRoute& other : other_gateways) {
      gateways.push_back(std::make_shared<const GatewayRoute>(other));
    }
    gateways.push_back(std::make_shared<const GatewayRoute>(route));
    const auto generation = slot_.publish(gateways);
    CHECK(until([&] { return slot_.is_adopted(generation); }));
  }

  template <typename IsDone>
  bool until(IsDone is_done) {
    const Instant deadline = system_clock_.instant() + std::chrono::seconds(10);
    while (true) {
      for (const auto& engine : engines_) engine->poll();
      if (is_done()) return true;
      if (system_clock_.instant() > deadline) return false;
      loop_.run_once(std::chrono::milliseconds(1));
    }
  }
  // Lets everything happen that is under way.
  void settle() {
    int turn_count = 0;
    until([&] { return ++turn_count > 8; });
  }
  void advance(Duration by) {
    clock_.advance(by);
    settle();
  }

  RawPeer connect(int receive_buffer_bytes = 0) {
    return RawPeer::connect(port_, receive_buffer_bytes);
  }
  // Gives all of `bytes`, also more than the kernel holds.
  void send(RawPeer& client, std::string_view bytes) {
    CHECK(until([&] {
      bytes.remove_prefix(client.send_some(bytes));
      return bytes.empty();
    }));
  }
  // The whole request that reached connection `index` of an engine.
  Message at_engine(FakeEngine& engine, std::size_t index = 0) {
    std::optional<Message> found;
    CHECK(until([&] { return (found = engine.request(index)).has_value(); }));
    return *std::move(found);
  }
  // The answer to a client once it is whole, or as much as there is when the client is closed.
  Message answer(RawPeer& client) {
    std::optional<Message> found;
    CHECK_THAT(until([&] {
                 found = parse_message(client.received());
                 return (found && found->is_whole) || client.is_gone();
               }),
               client.received());
    return found.value_or(Message{});
  }
  Message ask(std::string_view request) {
    RawPeer client = connect();
    send(client, request);
    return answer(client);
  }

  std::uint32_t in_flight(const std::string& replica_id = "dep-a-1") const {
    return slot_.in_flight(replica_id);
  }
  std::string logged() const {
    std::string text(static_cast<std::size_t>(::lseek(log_fd_.get(), 0, SEEK_END)), '\0');
    CHECK(::pread(log_fd_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return text;
  }
  std::string metrics() const { return metrics_.render(); }
  // The value of one series of the gateway "gw"; -1 if there is none. `label` is one more of its
  // labels, as it is drawn.
  long metric(std::string_view name, std::string_view deployment = "dep-a",
              std::string_view label = {}) const {
    const std::string all = metrics();
    const std::string series = fmt::format("\n{}{{gateway=\"gw\",deployment=\"{}\"{}{}}} ", name,
                                           deployment, label.empty() ? "" : ",", label);
    const auto at = all.find(series);
    return at == std::string::npos ? -1 : std::stol(all.substr(at + series.size()));
  }
  long requests(std::string_view outcome, std::string_view deployment = "dep-a") const {
    return metric("staithe_gateway_requests_total", deployment,
                  fmt::format("outcome=\"{}\"", outcome));
  }

  FakeClock& clock() { return clock_; }
  net::EventLoop& loop() { return loop_; }
  RouteTableSlot& slot() { return slot_; }
  Gateway& gateway() { return gateway_; }
  net::HttpServer& server() { return *server_; }
  auth::TokenTable& tokens() { return tokens_; }

 private:
  SystemClock system_clock_;  // how long a test may take; the gateway sees the fake one
  FakeClock clock_;
  net::EventLoop loop_{clock_};
  SeededRandom random_{7};
  Metrics metrics_;
  UniqueFd log_fd_;
  Log log_;
  auth::TokenTable tokens_;
  RouteTableSlot slot_{metrics_};
  std::vector<std::unique_ptr<FakeEngine>> engines_;
  Gateway gateway_;
  std::unique_ptr<net::HttpServer> server_;
  std::uint16_t port_ = 0;
};

}  // namespace staithe::gateway::testing
