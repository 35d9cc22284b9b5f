#include "engine/simulated_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "base/encoding.h"
#include "base/free_memory.h"
#include "engine/request.h"
#include "engine/text.h"

namespace staithe::engine {
namespace {

using nlohmann::json;

constexpr std::string_view json_type = "application/json";

// How vLLM draws an error.
std::string draw_error(std::string_view message, std::string_view type, std::string_view param,
                       std::uint16_t status) {
  json error{{"message", message}, {"type", type}, {"param", nullptr}, {"code", status}};
  if (!param.empty()) error["param"] = param;
  return json{{"error", error}}.dump();
}

// Whole answers: everything but generated text.
class ShortExchange : public net::ExchangeHandler {
 public:
  explicit ShortExchange(net::Exchange& exchange) : exchange_(exchange) {}
  void on_body(std::string_view bytes) override { body_ += bytes; }
  void on_cancelled() override {}

 protected:
  void answer(std::uint16_t status, std::string_view media_type, std::string_view text) {
    net::AnswerHead head;
    head.status = status;
    head.content_length = text.size();
    head.headers.add("Content-Type", media_type);
    exchange_.send_head(head);
    exchange_.send_body(text);
    exchange_.finish();
  }
  void refuse(const Error& error) {
    const bool is_missing = error.code == Code::not_found;
    const std::uint16_t status = is_missing ? 404 : 400;
    answer(status, json_type,
           draw_error(error.message, is_missing ? "NotFoundError" : "BadRequestError",
                      error.violations.empty() ? std::string_view{}
                                               : std::string_view(error.violations[0].field),
                      status));
  }

  net::Exchange& exchange_;
  std::string body_;
};

class FixedExchange final : public ShortExchange {
 public:
  FixedExchange(net::Exchange& exchange, std::uint16_t status, std::string media_type,
                std::string text)
      : ShortExchange(exchange),
        status_(status),
        media_type_(std::move(media_type)),
        text_(std::move(text)) {}
  void on_request_end() override { answer(status_, media_type_, text_); }

 private:
  std::uint16_t status_;
  std::string media_type_;
  std::string text_;
};

class EmbeddingExchange final : public ShortExchange {
 public:
  EmbeddingExchange(net::Exchange& exchange, const Options& options)
      : ShortExchange(exchange), options_(options) {}

  void on_request_end() override {
    const auto request = parse_embedding(body_, options_);
    if (!request) return refuse(request.error());
    json data = json::array();
    std::uint64_t tokens = 0;
    for (std::size_t i = 0; i < request->inputs.size(); ++i) {
      tokens += request->inputs[i].token_count;
      data.push_back({{"object", "embedding"},
                      {"index", i},
                      {"embedding", draw(*request, request->inputs[i])}});
    }
    answer(200, json_type,
           json{{"id", "embd-simulated"},
                {"object", "list"},
                {"model", options_.model},
                {"data", data},
                {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}}
               .dump());
  }

 private:
  // A unit vector that depends on the input alone.
  static json draw(const EmbeddingRequest& request, const Prompt& input) {
    SeededRandom random(input.hash);
    std::vector<float> vector(request.size);
    double square = 0;
    for (float& value : vector) {
      value = static_cast<float>(random.unit() * 2 - 1);
      square += static_cast<double>(value) * value;
    }
    for (float& value : vector)
      value = static_cast<float>(value / std::sqrt(std::max(square, 1e-12)));
    if (!request.as_base64) return vector;
    return base64({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
  }

  const Options& options_;
};

class TokenizeExchange final : public ShortExchange {
 public:
  TokenizeExchange(net::Exchange& exchange, const Options& options)
      : ShortExchange(exchange), options_(options) {}
  void on_request_end() override {
    const auto text = parse_tokenize(body_, options_);
    if (!text) return refuse(text.error());
    const std::vector<TokenId> tokens = tokenize(*text);
    answer(200, json_type,
           json{{"count", tokens.size()},
                {"max_model_len", options_.context_tokens_max},
                {"tokens", tokens}}
               .dump());
  }

 private:
  const Options& options_;
};

}  // namespace

// One request for text: waits its turn, then draws a token per choice and tick.
class GenerationExchange final : public ShortExchange {
 public:
  GenerationExchange(SimulatedEngine& engine, net::Exchange& exchange, Surface surface, Fault fault)
      : ShortExchange(exchange), engine_(engine), surface_(surface), fault_(fault) {}

  ~GenerationExchange() override {
    exchange_.loop().cancel(timer_);
    engine_.leave(*this);
  }

  void on_request_end() override {
    auto request = parse_generation(body_, surface_, engine_.options_);
    free_memory(body_);
    if (!request) return refuse(request.error());
    request_ = *std::move(request);
    if (fault_.kind == Fault::Kind::status) {
      return answer(static_cast<std::uint16_t>(fault_.amount), json_type,
                    draw_error("simulated failure", "InternalServerError", {},
                               static_cast<std::uint16_t>(fault_.amount)));
    }
    if (fault_.kind == Fault::Kind::reset_before) return exchange_.abort();
    started_ = engine_.clock_.instant();
    id_ = fmt::format("{}-{:016x}", surface_ == Surface::chat ? "chatcmpl" : "cmpl",
                      engine_.options_.seed * 0x9e3779b97f4a7c15ULL + ++engine_.answer_count_);
    token_limit_ = request_.tokens_max.value_or(engine_.options_.tokens_default);
    if (fault_.kind == Fault::Kind::flood) token_limit_ = fault_.amount;
    engine_.admit(*this);
  }

  void on_cancelled() override {
    exchange_.loop().cancel(timer_);
    timer_ = 0;
    engine_.leave(*this);
  }

  // The batch has room: the prompt is processed, then the first token comes.
  void run() {
    is_running_ = true;
    for (std::size_t i = 0; i < request_.choice_count(); ++i) {
      const Prompt& prompt = request_.prompts[i / request_.choices_per_prompt];
      choices_.push_back(
          {.random = std::make_unique<SeededRandom>(prompt.hash + request_.seed + i), .text = {}});
    }
    engine_.prompt_tokens_.add(request_.prompt_token_count());
    if (fault_.kind == Fault::Kind::hang) return;
    double wait_ms = engine_.draw_ms(engine_.options_.time_to_first_token);
    if (fault_.kind == Fault::Kind::slow_first_byte) wait_ms += fault_.amount;
    schedule(wait_ms);
  }

  void on_writable() override {
    if (is_held_back_) {
      is_held_back_ = false;
      schedule(0);
    }
  }

  bool is_running() const { return is_running_; }
  bool is_waiting() const { return is_waiting_; }
  void set_waiting(bool is_waiting) { is_waiting_ = is_waiting; }
  void set_stopped() { is_running_ = false; }
  std::uint64_t kv_tokens() const { return request_.token_count_max(engine_.options_); }

 private:
  struct Choice {
    std::unique_ptr<SeededRandom> random;
    std::string text;                // as far as it is needed again
    std::vector<TokenId> tokens;     // of a whole answer that shows their log-probabilities
    std::size_t text_bytes = 0;      // of all tokens so far
    std::size_t sent_bytes = 0;      // of `text`
    std::string_view finish_reason;  // empty while it goes on
  };

  void schedule(double ms) {
    timer_ = exchange_.loop().run_after(
        std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms)),
        [this] { tick(); });
  }

  void tick() {
    timer_ = 0;
    if (token_count_ == 0 && request_.is_stream) begin_stream();
    const bool is_mid_fault =
        fault_.kind == Fault::Kind::reset_mid || fault_.kind == Fault::Kind::hang_mid;
    if (is_mid_fault && token_count_ >= fault_.amount) {
      if (fault_.kind == Fault::Kind::reset_mid) exchange_.abort();
      return;
    }
    bool is_over = true;
    // A flood fills what the client leaves room for in one go.
    do {
      is_over = draw_tokens();
    } while (!is_over && fault_.kind == Fault::Kind::flood && !exchange_.is_congested());
    if (is_over) return end();
    if (fault_.kind == Fault::Kind::flood) {
      is_held_back_ = true;
      return;
    }
    schedule(engine_.draw_ms(engine_.options_.inter_token));
  }

  // One token for each choice that goes on; true when none does.
  bool draw_tokens() {
    const Instant now = engine_.clock_.instant();
    const double since_s =
        std::chrono::duration<double>(now - (token_count_ == 0 ? started_ : last_)).count();
    (token_count_ == 0 ? engine_.time_to_first_token_ : engine_.inter_token_).observe(since_s);
    last_ = now;
    ++token_count_;
    bool is_over = true;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      Choice& choice = choices_[i];
      if (!choice.finish_reason.empty()) continue;
      const TokenId token = draw_word(*choice.random);
      const std::string piece(word(token));
      engine_.generation_tokens_.add();
      generated_count_ += 1;
      const bool is_text_needed = !request_.is_stream || !request_.stops.empty();
      if (is_text_needed) choice.text += piece;
      if (request_.wants_logprobs && !request_.is_stream) choice.tokens.push_back(token);
      if (cut_at_stop(choice.text)) choice.finish_reason = "stop";
      if (choice.finish_reason.empty() && token_count_ >= token_limit_)
        choice.finish_reason = "length";
      if (request_.is_stream) {
        send_piece(i, is_text_needed ? take_certain_text(choice) : piece,
                   draw_logprobs({&token, 1}, choice.text_bytes), choice.finish_reason);
      }
      choice.text_bytes += piece.size();
      is_over = is_over && !choice.finish_reason.empty();
    }
    return is_over;
  }

  // An answer ends before its first stop word.
  bool cut_at_stop(std::string& text) const {
    std::size_t first = std::string::npos;
    for (const std::string& stop : request_.stops) first = std::min(first, text.find(stop));
    if (first == std::string::npos) return false;
    text.resize(first);
    return true;
  }

  // What is not sent yet and cannot be the beginning of a stop word.
  std::string take_certain_text(Choice& choice) const {
    std::size_t held_back = 0;
    if (choice.finish_reason.empty()) {
      for (const std::string& stop : request_.stops)
        held_back = std::max(held_back, stop.size() - 1);
    }
    const std::size_t end = choice.text.size() - std::min(choice.text.size(), held_back);
    const std::size_t begin = std::min(choice.sent_bytes, end);
    choice.sent_bytes = end;
    return choice.text.substr(begin, end - begin);
  }

  void begin_stream() {
    net::AnswerHead head;
    head.headers.add("Content-Type", "text/event-stream; charset=utf-8");
    exchange_.send_head(head);
    if (surface_ != Surface::chat) return;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      send_event(fmt::format(
          R"({},"choices":[{{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]}})",
          event_start(), i));
    }
  }

  // In the shape of the surface; null unless asked for. `offset` is where the first token begins in
  // the answer's text. A token's probability is always the same.
  json draw_logprobs(std::span<const TokenId> tokens, std::size_t offset) const {
    if (!request_.wants_logprobs) return nullptr;
    json chat = json::array();
    json completion{{"text_offset", json::array()},
                    {"token_logprobs", json::array()},
                    {"tokens", json::array()},
                    {"top_logprobs", json::array()}};
    for (const TokenId token : tokens) {
      const std::string text(word(token));
      const std::string name = request_.shows_token_ids ? fmt::format("token_id:{}", token) : text;
      const double logprob = -0.01 * (1 + token % 300);
      if (surface_ == Surface::chat) {
        chat.push_back({{"token", name},
                        {"logprob", logprob},
                        {"bytes", std::vector<unsigned>(text.begin(), text.end())},
                        {"top_logprobs", json::array()}});
        continue;
      }
      completion["text_offset"].push_back(offset);
      completion["token_logprobs"].push_back(logprob);
      completion["tokens"].push_back(name);
      completion["top_logprobs"].push_back({{name, logprob}});
      offset += text.size();
    }
    return surface_ == Surface::chat ? json{{"content", chat}} : completion;
  }

  void send_piece(std::size_t index, const std::string& piece, const json& logprobs,
                  std::string_view finish_reason) {
    const std::string finish = finish_reason.empty() ? "null" : json_quote(finish_reason);
    if (surface_ == Surface::chat) {
      send_event(fmt::format(
          R"({},"choices":[{{"index":{},"delta":{{"content":{}}},"logprobs":{},"finish_reason":{}}}]}})",
          event_start(), index, json_quote(piece), logprobs.dump(), finish));
    } else {
      send_event(fmt::format(
          R"({},"choices":[{{"index":{},"text":{},"logprobs":{},"finish_reason":{}}}]}})",
          event_start(), index, json_quote(piece), logprobs.dump(), finish));
    }
  }

  std::string event_start() const {
    return fmt::format(R"({{"id":"{}","object":"{}","created":{},"model":{})", id_,
                       surface_ == Surface::chat ? "chat.completion.chunk" : "text_completion",
                       engine_.created_s_, json_quote(engine_.options_.model));
  }

  void send_event(const std::string& text) { exchange_.send_body("data: " + text + "\n\n"); }

  json usage() const {
    const std::uint64_t prompt = request_.prompt_token_count();
    return {{"prompt_tokens", prompt},
            {"total_tokens", prompt + generated_count_},
            {"completion_tokens", generated_count_}};
  }

  void end() {
    engine_.end_to_end_.observe(
        std::chrono::duration<double>(engine_.clock_.instant() - started_).count());
    MetricLabels labels = engine_.labels_;
    labels.emplace_back("finished_reason", std::string(choices_.front().finish_reason));
    engine_.metrics_
        .counter("vllm:request_success_total", "Count of successfully processed requests.", labels)
        .add();
    if (!request_.is_stream) return answer(200, json_type, draw_whole());
    if (request_.wants_usage) {
      send_event(fmt::format(R"({},"choices":[],"usage":{}}})", event_start(), usage().dump()));
    }
    exchange_.send_body("data: [DONE]\n\n");
    exchange_.finish();
  }

  std::string draw_whole() const {
    json choices = json::array();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      json choice{{"index", i},
                  {"logprobs", draw_logprobs(choices_[i].tokens, 0)},
                  {"finish_reason", choices_[i].finish_reason}};
      if (surface_ == Surface::chat) {
        choice["message"] = {{"role", "assistant"}, {"content", choices_[i].text}};
      } else {
        choice["text"] = choices_[i].text;
      }
      choices.push_back(std::move(choice));
    }
    return json{{"id", id_},
                {"object", surface_ == Surface::chat ? "chat.completion" : "text_completion"},
                {"created", engine_.created_s_},
                {"model", engine_.options_.model},
                {"choices", choices},
                {"usage", usage()}}
        .dump();
  }

  SimulatedEngine& engine_;
  const Surface surface_;
  const Fault fault_;
  GenerationRequest request_;
  std::string id_;
  std::vector<Choice> choices_;
  std::uint32_t token_limit_ = 0;
  std::uint32_t token_count_ = 0;  // ticks so far
  std::uint64_t generated_count_ = 0;
  Instant started_;
  Instant last_;
  net::TimerId timer_ = 0;
  bool is_running_ = false;
  bool is_waiting_ = false;
  bool is_held_back_ = false;
};

SimulatedEngine::SimulatedEngine(net::EventLoop& loop, const Clock& clock, Options options)
    : loop_(loop),
      clock_(clock),
      options_(std::move(options)),
      started_(clock.instant()),
      created_s_(std::chrono::floor<std::chrono::seconds>(clock.now()).time_since_epoch().count()),
      random_(options_.seed),
      labels_{{"engine", "0"}, {"model_name", options_.model}},
      prompt_tokens_(metrics_.counter("vllm:prompt_tokens_total",
                                      "Number of prefill tokens processed.", labels_)),
      generation_tokens_(metrics_.counter("vllm:generation_tokens_total",
                                          "Number of generation tokens processed.", labels_)),
      time_to_first_token_(metrics_.histogram("vllm:time_to_first_token_seconds",
                                              "Time to first token in seconds.", labels_)),
      inter_token_(metrics_.histogram("vllm:inter_token_latency_seconds",
                                      "Time between tokens in seconds.", labels_)),
      end_to_end_(metrics_.histogram("vllm:e2e_request_latency_seconds",
                                     "Time of a whole request in seconds.", labels_)) {}

SimulatedEngine::~SimulatedEngine() = default;

bool SimulatedEngine::is_loaded() const {
  return clock_.instant() - started_ >= options_.load_delay;
}

std::unique_ptr<net::ExchangeHandler> SimulatedEngine::on_request(const net::RequestHead& head,
                                                                  net::Exchange& exchange) {
  const std::string_view path = head.path();
  const bool is_read = head.method == "GET" || head.method == "HEAD";
  const auto fixed = [&exchange](std::uint16_t status, std::string_view type, std::string text) {
    return std::make_unique<FixedExchange>(exchange, status, std::string(type), std::move(text));
  };
  if (is_read && path == "/metrics")
    return fixed(200, "text/plain; version=0.0.4; charset=utf-8", draw_metrics());
  if (is_read && path == "/version") return fixed(200, json_type, R"({"version":"simulated"})");
  if (!is_loaded())
    return fixed(503, json_type, draw_error("the model is loading", "ServiceUnavailable", {}, 503));
  if (is_read && path == "/health") return fixed(200, json_type, {});
  if (is_read && path == "/v1/models") {
    return fixed(200, json_type,
                 json{{"object", "list"},
                      {"data",
                       {{{"id", options_.model},
                         {"object", "model"},
                         {"created", created_s_},
                         {"owned_by", "simulated"},
                         {"root", options_.model},
                         {"max_model_len", options_.context_tokens_max}}}}}
                     .dump());
  }
  if (head.method == "POST" && (path == "/v1/chat/completions" || path == "/v1/completions")) {
    Fault fault = options_.fault;
    if (const auto wanted = head.headers.find("x-simulate-fault")) {
      const auto parsed = parse_fault(*wanted);
      if (!parsed)
        return fixed(
            400, json_type,
            draw_error(parsed.error().message, "BadRequestError", "x-simulate-fault", 400));
      fault = *parsed;
    }
    const Surface surface = path == "/v1/completions" ? Surface::completions : Surface::chat;
    return std::make_unique<GenerationExchange>(*this, exchange, surface, fault);
  }
  if (head.method == "POST" && path == "/v1/embeddings")
    return std::make_unique<EmbeddingExchange>(exchange, options_);
  if (head.method == "POST" && path == "/tokenize")
    return std::make_unique<TokenizeExchange>(exchange, options_);
  return fixed(404, json_type, R"({"detail":"Not Found"})");
}

void SimulatedEngine::admit(GenerationExchange& exchange) {
  if (running_count_ >= options_.running_max) {
    exchange.set_waiting(true);
    waiting_.push_back(&exchange);
    return;
  }
  ++running_count_;
  kv_tokens_ += exchange.kv_tokens();
  exchange.run();
}

// Harmless for one that is neither running nor waiting.
void SimulatedEngine::leave(GenerationExchange& exchange) {
  if (exchange.is_waiting()) {
    exchange.set_waiting(false);
    std::erase(waiting_, &exchange);
  }
  if (!exchange.is_running()) return;
  exchange.set_stopped();
  --running_count_;
  kv_tokens_ -= exchange.kv_tokens();
  if (waiting_.empty()) return;
  GenerationExchange* next = waiting_.front();
  waiting_.pop_front();
  next->set_waiting(false);
  admit(*next);
}

double SimulatedEngine::draw_ms(const Latency& latency) {
  if (options_.shape == LatencyShape::uniform || latency.mean_ms <= 0) {
    return std::max(0.0, latency.mean_ms + (random_.unit() * 2 - 1) * latency.jitter_ms);
  }
  // The parameters of a log-normal with this mean and standard deviation.
  const double ratio = latency.jitter_ms / latency.mean_ms;
  const double sigma = std::sqrt(std::log1p(ratio * ratio));
  const double mu = std::log(latency.mean_ms) - sigma * sigma / 2;
  // Box and Muller's transform (doi:10.1214/aoms/1177706645).
  const double normal =
      std::sqrt(-2 * std::log(1 - random_.unit())) * std::cos(2 * M_PI * random_.unit());
  return std::exp(mu + sigma * normal);
}

std::string SimulatedEngine::draw_metrics() const {
  const std::string labels =
      fmt::format(R"({{engine="0",model_name={}}})", json_quote(options_.model));
  const auto gauge = [&labels](std::string_view name, std::string_view help, double value) {
    return fmt::format("# HELP {} {}\n# TYPE {} gauge\n{}{} {}\n", name, help, name, name, labels,
                       value);
  };
  return gauge("vllm:num_requests_running", "Number of requests in model execution batches.",
               static_cast<double>(running_count_)) +
         gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.",
               static_cast<double>(waiting_.size())) +
         gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.",
               std::min(1.0, static_cast<double>(kv_tokens_) / options_.kv_cache_tokens)) +
         metrics_.render();
}

}  // namespace staithe::engine
