// The two ends of the proxy bench: an upstream that streams like an engine and costs next to
// nothing, and a load generator that checks every byte. bench/proxy/run.py puts a proxy between
// them and reads its CPU time.
//
//   proxy_bench upstream --port P --model NAME
//   proxy_bench load --target HOST:PORT --path PATH [--token T] --connections N --requests N
//   [--chunks C --interval-ms I] proxy_bench hold --target HOST:PORT --path PATH [--token T]
//   --connections N    opens N streams, then waits for stdin

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "net/event_loop.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace staithe::bench {
namespace {

// About what a vLLM delta weighs.
constexpr std::string_view chunk_text =
    R"(data: {"id":"chatcmpl-b2bfaf89a74034b3","object":"chat.completion.chunk","created":1795575351,"model":"bench","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null,"token_ids":null}]})"
    "\n\n";
constexpr std::string_view end_text = "data: [DONE]\n\n";
constexpr std::string_view unary_text =
    R"({"id":"chatcmpl-1","object":"chat.completion","created":1795575351,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"Thirty-two tokens of an answer that says nothing in particular but has the size of one."},"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":32,"total_tokens":332}})";

struct StreamPlan {
  std::uint64_t chunk_count = 0;
  std::chrono::milliseconds interval{0};
};

// One request at the upstream. The plan travels in the body's "max_tokens" and "bench_interval_ms".
class UpstreamExchange final : public net::ExchangeHandler {
 public:
  UpstreamExchange(net::Exchange& exchange, std::string path, std::string model)
      : exchange_(exchange), path_(std::move(path)), model_(std::move(model)) {}
  ~UpstreamExchange() override { exchange_.loop().cancel(timer_); }

  void on_body(std::string_view bytes) override { body_ += bytes; }

  void on_request_end() override {
    if (path_ == "/health") return answer("application/json", "{}");
    if (path_ == "/v1/models") {
      return answer("application/json",
                    R"({"object":"list","data":[{"id":")" + model_ +
                        R"(","object":"model","created":1,"owned_by":"bench"}]})");
    }
    const auto request = nlohmann::json::parse(body_, nullptr, false);
    body_ = {};
    if (!request.is_object() || !request.value("stream", false)) {
      return answer("application/json", unary_text);
    }
    plan_.chunk_count = request.value("max_tokens", std::uint64_t{16});
    plan_.interval = std::chrono::milliseconds{request.value("bench_interval_ms", std::int64_t{0})};
    net::AnswerHead head;
    head.headers.add("Content-Type", "text/event-stream; charset=utf-8");
    exchange_.send_head(head);
    tick();
  }

  void on_cancelled() override {}

 private:
  void answer(std::string_view type, std::string_view text) {
    net::AnswerHead head;
    head.headers.add("Content-Type", type);
    head.content_length = text.size();
    exchange_.send_head(head);
    exchange_.send_body(text);
    exchange_.finish();
  }

  void tick() {
    timer_ = 0;
    if (sent_count_ == plan_.chunk_count) {
      exchange_.send_body(end_text);
      exchange_.finish();
      return;
    }
    exchange_.send_body(chunk_text);
    ++sent_count_;
    timer_ = exchange_.loop().run_after(plan_.interval, [this] { tick(); });
  }

  net::Exchange& exchange_;
  std::string path_;
  std::string model_;
  std::string body_;
  StreamPlan plan_;
  std::uint64_t sent_count_ = 0;
  net::TimerId timer_ = 0;
};

class Upstream final : public net::RequestRouter {
 public:
  explicit Upstream(std::string model) : model_(std::move(model)) {}
  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override {
    return std::make_unique<UpstreamExchange>(exchange, std::string(head.path()), model_);
  }

 private:
  std::string model_;
};

struct LoadOptions {
  net::Endpoint target;
  std::string path;
  std::string token;
  std::size_t connection_count = 1;
  std::size_t request_count = 1;
  StreamPlan plan;
  std::size_t prompt_bytes = 1200;
};

std::string request_body(const LoadOptions& options) {
  nlohmann::json body{
      {"model", "bench"},
      {"messages", {{{"role", "user"}, {"content", std::string(options.prompt_bytes, 'p')}}}},
      {"temperature", 0.7},
      {"stream", options.plan.chunk_count > 0}};
  if (options.plan.chunk_count > 0) {
    body["max_tokens"] = options.plan.chunk_count;
    body["bench_interval_ms"] = options.plan.interval.count();
  }
  return body.dump();
}

// Keeps `connection_count` requests under way until `request_count` are done.
class Load {
 public:
  Load(net::EventLoop& loop, LoadOptions options)
      : loop_(loop),
        client_(loop),
        options_(std::move(options)),
        body_(request_body(options_)),
        authorization_("Bearer " + options_.token) {}

  void start() {
    for (std::size_t i = 0; i < options_.connection_count; ++i) next();
  }

  bool is_done() const { return done_count_ + failed_count_ >= options_.request_count; }
  std::size_t streaming_count() const { return streaming_count_; }

  void report(Duration elapsed) {
    std::sort(first_byte_us_.begin(), first_byte_us_.end());
    const auto percentile = [&](double share) {
      return first_byte_us_.empty() ? 0
                                    : first_byte_us_[static_cast<std::size_t>(
                                          share * static_cast<double>(first_byte_us_.size() - 1))];
    };
    nlohmann::json out{{"done", done_count_},
                       {"failed", failed_count_},
                       {"chunks", chunk_count_},
                       {"seconds", std::chrono::duration<double>(elapsed).count()},
                       {"first_byte_p50_us", percentile(0.5)},
                       {"first_byte_p99_us", percentile(0.99)}};
    std::cout << out.dump() << std::endl;
  }

 private:
  class One final : public net::ClientHandler {
   public:
    explicit One(Load& load) : load_(load), started_(load.loop_.clock().instant()) {
      net::ClientRequest request;
      request.method = "POST";
      request.target = load.options_.path;
      request.headers.add("Content-Type", "application/json");
      if (!load.options_.token.empty()) request.headers.add("Authorization", load.authorization_);
      request.body = {net::BodyFraming::Kind::length, load.body_.size()};
      exchange_ = load.client_.start(load.options_.target, request, {}, *this);
      exchange_->send_body(load.body_);
      exchange_->finish_body();
    }

    void on_head(const net::ResponseHead& head) override { is_good_ = head.status == 200; }
    void on_body(std::string_view bytes) override {
      if (received_bytes_ == 0) {
        load_.first_byte_us_.push_back(std::chrono::duration_cast<std::chrono::microseconds>(
                                           load_.loop_.clock().instant() - started_)
                                           .count());
        ++load_.streaming_count_;
      }
      // Streams consist of equal chunks and one end: every byte can be told from its place.
      const std::uint64_t stream_bytes = load_.options_.plan.chunk_count * chunk_text.size();
      for (std::size_t i = 0; load_.options_.plan.chunk_count > 0 && i < bytes.size();) {
        const std::uint64_t at = received_bytes_ + i;
        const std::string_view piece = at < stream_bytes ? chunk_text : end_text;
        const std::size_t offset = at < stream_bytes ? at % chunk_text.size() : at - stream_bytes;
        const std::size_t length =
            std::min(piece.size() - std::min(offset, piece.size()), bytes.size() - i);
        if (length == 0 || bytes.substr(i, length) != piece.substr(offset, length)) {
          is_good_ = false;
          break;
        }
        i += length;
      }
      received_bytes_ += bytes.size();
    }
    void on_end() override {
      const auto& plan = load_.options_.plan;
      const std::uint64_t wanted = plan.chunk_count > 0
                                       ? plan.chunk_count * chunk_text.size() + end_text.size()
                                       : unary_text.size();
      load_.finished(*this, is_good_ && received_bytes_ == wanted, plan.chunk_count);
    }
    void on_failure(const net::ClientFailure& failure) override {
      std::fprintf(stderr, "failed: %s\n", failure.message.c_str());
      load_.finished(*this, false, 0);
    }

   private:
    Load& load_;
    Instant started_;
    bool is_good_ = false;
    std::uint64_t received_bytes_ = 0;
    std::unique_ptr<net::ClientExchange> exchange_;
  };

  void next() {
    if (started_count_ >= options_.request_count) return;
    ++started_count_;
    running_.push_back(std::make_unique<One>(*this));
  }

  void finished(One& one, bool is_good, std::uint64_t chunk_count) {
    ++(is_good ? done_count_ : failed_count_);
    chunk_count_ += chunk_count;
    const auto found = std::find_if(running_.begin(), running_.end(),
                                    [&](const auto& r) { return r.get() == &one; });
    loop_.destroy_later(std::move(*found));
    running_.erase(found);
    loop_.post([this] { next(); });
  }

  net::EventLoop& loop_;
  net::HttpClient client_;
  LoadOptions options_;
  std::string body_;
  std::string authorization_;
  std::vector<std::unique_ptr<One>> running_;
  std::vector<std::int64_t> first_byte_us_;
  std::size_t started_count_ = 0;
  std::size_t done_count_ = 0;
  std::size_t failed_count_ = 0;
  std::uint64_t chunk_count_ = 0;
  std::size_t streaming_count_ = 0;
};

int fail(const Error& error) {
  std::fprintf(stderr, "proxy_bench: %s\n", error.message.c_str());
  return 2;
}

int main_upstream(const std::string& model, std::uint16_t port) {
  SystemClock clock;
  net::EventLoop loop(clock);
  Upstream upstream(model);
  auto listener = net::listen_on({.host = "127.0.0.1", .port = port});
  if (!listener) return fail(listener.error());
  std::printf("ready http://127.0.0.1:%u\n", listener->port);
  std::fflush(stdout);
  net::HttpServer server(loop, upstream, std::move(*listener));
  loop.run();
  return 0;
}

int main_load(const LoadOptions& options, bool is_hold) {
  SystemClock clock;
  net::EventLoop loop(clock);
  Load load(loop, options);
  const Instant started = clock.instant();
  load.start();
  if (is_hold) {
    while (load.streaming_count() < options.connection_count && !load.is_done()) {
      loop.run_once(std::chrono::milliseconds{100});
    }
    std::cout << "holding " << load.streaming_count() << std::endl;
    std::cin.get();
    return load.is_done() ? 1 : 0;
  }
  while (!load.is_done()) loop.run_once(std::chrono::milliseconds{100});
  load.report(clock.instant() - started);
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app{"The two ends of the proxy bench."};
  app.require_subcommand(1);
  std::string model = "bench";
  std::uint16_t port = 0;
  CLI::App* upstream = app.add_subcommand("upstream", "streams like an engine");
  upstream->add_option("--port", port);
  upstream->add_option("--model", model);

  LoadOptions options;
  std::string target;
  std::int64_t interval_ms = 0;
  CLI::App* load = app.add_subcommand("load", "a closed loop of requests");
  CLI::App* hold = app.add_subcommand("hold", "opens streams and waits for a line on stdin");
  for (CLI::App* command : {load, hold}) {
    command->add_option("--target", target)->required();
    command->add_option("--path", options.path)->required();
    command->add_option("--token", options.token);
    command->add_option("--connections", options.connection_count);
    command->add_option("--requests", options.request_count);
    command->add_option("--chunks", options.plan.chunk_count);
    command->add_option("--interval-ms", interval_ms);
    command->add_option("--prompt-bytes", options.prompt_bytes);
  }
  CLI11_PARSE(app, argc, argv);
  if (upstream->parsed()) return main_upstream(model, port);
  const auto address = net::parse_listen_address(target);
  if (!address) return fail(address.error());
  options.target = {.host = address->host, .port = address->port};
  options.plan.interval = std::chrono::milliseconds{interval_ms};
  if (hold->parsed()) options.request_count = options.connection_count;
  return main_load(options, hold->parsed());
}

}  // namespace
}  // namespace staithe::bench

int main(int argc, char** argv) {
  return staithe::bench::run(argc, argv);
}
