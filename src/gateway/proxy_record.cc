#include "gateway/proxy_exchange.h"

#include <chrono>
#include <utility>

// What is kept of a request: its log line, its usage, its span.

namespace staithe::gateway {

// What is kept of every request, however it ended.
void ProxyExchange::record(std::uint16_t status, UsageWatch::End how) {
  book_usage(how);
  end_span(status);
  if (!gateway_.options_.is_access_logged) return;
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(exchange_.loop().now() - started_);
  gateway_.access_log_.add({{"request", request_id_},
                            {"gateway", counters_->gateway_id()},
                            {"deployment", counters_->deployment_id()},
                            {"status", status},
                            {"ms", took.count()}});
}

// Only what was sent to an engine is somebody's use of it. The slot is free from here on, and the
// tokens taken are those that were used.
void ProxyExchange::book_usage(UsageWatch::End how) {
  if (usage_ != nullptr && metrics_ != nullptr) {
    const UsageTotals used = usage_->end(how, counters_->deployment_id(), gateway_.clock_.now());
    observe_pace(how, used);
    if (limits_ != nullptr) limits_->settle_tokens(used.prompt_tokens + used.completion_tokens);
    if (span_ != nullptr && used.estimated == 0) {
      span_->tokens = {.input = used.prompt_tokens,
                       .cached = used.cached_tokens,
                       .output = used.completion_tokens};
    }
  }
  limits_.reset();
}

// The first token came with the first byte, and took what the prompt took.
void ProxyExchange::observe_pace(UsageWatch::End how, const UsageTotals& used) {
  const bool is_known = how == UsageWatch::End::complete && used.estimated == 0;
  if (!is_event_stream_ || !is_known || used.completion_tokens < 2) return;
  const Duration took = exchange_.loop().now() - first_byte_at_;
  metrics_->time_per_token->observe(std::chrono::duration<double>(took).count() /
                                    static_cast<double>(used.completion_tokens - 1));
}

void ProxyExchange::end_span(std::uint16_t status) {
  if (span_ == nullptr) return;
  span_->ended_at = gateway_.clock_.now();
  span_->status = status;
  span_->request_id = request_id_;
  span_->gateway_id = counters_->gateway_id();
  span_->deployment_id = counters_->deployment_id();
  gateway_.options_.trace.sink->add(std::move(span_));
}

}  // namespace staithe::gateway
