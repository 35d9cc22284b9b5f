#include "app/front.h"

namespace staithe::app {
namespace {

// A short answer that is known as soon as the request is read.
class ShortAnswer final : public net::ExchangeHandler {
 public:
  ShortAnswer(net::Exchange& exchange, std::uint16_t status, std::string_view media_type,
              std::string text)
      : exchange_(exchange), status_(status), media_type_(media_type), text_(std::move(text)) {}

  void on_body(std::string_view) override {}
  void on_request_end() override {
    net::AnswerHead head;
    head.status = status_;
    head.content_length = text_.size();
    head.headers.add("Content-Type", media_type_);
    head.headers.add("Cache-Control", "no-store");
    if (status_ == 405) head.headers.add("Allow", "GET, HEAD");
    exchange_.send_head(head);
    exchange_.send_body(text_);
    exchange_.finish();
  }
  void on_cancelled() override {}

 private:
  net::Exchange& exchange_;
  std::uint16_t status_;
  std::string_view media_type_;
  std::string text_;
};

constexpr std::string_view plain = "text/plain; charset=utf-8";

}  // namespace

std::unique_ptr<net::ExchangeHandler> Front::on_request(const net::RequestHead& head,
                                                        net::Exchange& exchange) {
  const std::string_view path = head.path();
  // A gateway's own host name may serve any path, so it is asked first.
  if (gateway_.claims(head)) return gateway_.on_request(head, exchange);
  if (path != "/healthz" && path != "/readyz" && path != "/metrics") {
    return api_.on_request(head, exchange);
  }
  if (head.method != "GET" && head.method != "HEAD") {
    return std::make_unique<ShortAnswer>(exchange, 405, plain, "use GET\n");
  }
  if (path == "/healthz") return std::make_unique<ShortAnswer>(exchange, 200, plain, "ok\n");
  if (path == "/metrics") {
    return std::make_unique<ShortAnswer>(exchange, 200, "text/plain; version=0.0.4; charset=utf-8",
                                         metrics_.render());
  }
  const bool is_ready = is_serving_.load(std::memory_order_acquire);
  return std::make_unique<ShortAnswer>(exchange, is_ready ? 200 : 503, plain,
                                       is_ready ? "ready\n" : "not ready\n");
}

}  // namespace staithe::app
