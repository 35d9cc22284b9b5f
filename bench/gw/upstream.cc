#include "gw/upstream.h"

#include <algorithm>
#include <random>

#include "gw/stream_plan.h"
#include "gw/stream_text.h"

namespace staithe::bench {
namespace {

// Whether the body has "stream": true. Parsing a long prompt would cost more than answering it.
bool wants_stream(std::string_view body) {
  constexpr std::string_view key = "\"stream\":";
  const auto found = body.find(key);
  if (found == body.npos) return false;
  body.remove_prefix(found + key.size());
  return body.substr(std::min(body.find_first_not_of(' '), body.size())).starts_with("true");
}

class UpstreamExchange final : public net::ExchangeHandler {
 public:
  UpstreamExchange(net::Exchange& exchange, std::string path, const std::string& model)
      : exchange_(exchange), path_(std::move(path)), model_(model) {}
  ~UpstreamExchange() override { exchange_.loop().cancel(timer_); }

  void on_body(std::string_view bytes) override { body_ += bytes; }

  void on_request_end() override {
    if (path_ == "/v1/models") {
      return answer(R"({"object":"list","data":[{"id":")" + model_ +
                    R"(","object":"model","created":1,"owned_by":"bench"}]})");
    }
    if (path_ != "/v1/chat/completions")
      return answer("{}");  // health checks, and what routers ask engines
    if (!wants_stream(body_)) return answer(unary_text);
    const StreamPlan plan = StreamPlan::from_body(body_);
    body_ = {};
    chunks_left_ = plan.chunk_count;
    interval_ = std::chrono::milliseconds{plan.interval_ms};
    net::AnswerHead head;
    head.headers.add("Content-Type", "text/event-stream; charset=utf-8");
    exchange_.send_head(head);
    static std::minstd_rand random;
    const auto first_interval =
        std::uniform_int_distribution<std::int64_t>{0, interval_.count()}(random);
    send_chunk(std::chrono::milliseconds{first_interval});
  }

  void on_cancelled() override {}

 private:
  void answer(std::string_view text) {
    net::AnswerHead head;
    head.headers.add("Content-Type", "application/json");
    head.content_length = text.size();
    exchange_.send_head(head);
    exchange_.send_body(text);
    exchange_.finish();
  }

  void send_chunk(Duration until_next) {
    timer_ = 0;
    if (chunks_left_ == 0) {
      exchange_.send_body(numbered_event(usage_head, checksum_.value()));
      exchange_.send_body(done_event);
      return exchange_.finish();
    }
    --chunks_left_;
    const auto now = exchange_.loop().clock().instant().time_since_epoch();
    const auto sent_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count());
    checksum_.add(sent_ns);
    exchange_.send_body(numbered_event(chunk_head, sent_ns));
    timer_ = exchange_.loop().run_after(until_next, [this] { send_chunk(interval_); });
  }

  net::Exchange& exchange_;
  std::string path_;
  const std::string& model_;
  std::string body_;
  std::uint64_t chunks_left_ = 0;
  std::chrono::milliseconds interval_{0};
  Checksum checksum_;
  net::TimerId timer_ = 0;
};

}  // namespace

std::unique_ptr<net::ExchangeHandler> Upstream::on_request(const net::RequestHead& head,
                                                           net::Exchange& exchange) {
  return std::make_unique<UpstreamExchange>(exchange, std::string(head.path()), model_);
}

}  // namespace staithe::bench
