#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "base/thread.h"
#include "gateway/request_span.h"
#include "net/tls_context.h"

namespace staithe::app {

// Sends spans to a collector: OTLP over HTTP with JSON
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp), in batches, on a thread of its own. While
// the collector does not answer it keeps what fits and counts the rest as dropped; no request ever
// waits for it.
class OtlpExporter final : public gateway::SpanSink {
 public:
  static constexpr std::size_t waiting_max = 8192;
  static constexpr std::size_t batch_max = 512;

  // `url` is the collector's, such as http://127.0.0.1:4318; INVALID_ARGUMENT if it is none.
  static Result<std::unique_ptr<OtlpExporter>> open(const std::string& url, Metrics& metrics,
                                                    const Log& log);
  // Sends what is left, once.
  ~OtlpExporter() override;

  void add(std::unique_ptr<gateway::RequestSpan> span) override;

 private:
  using Spans = std::vector<std::unique_ptr<gateway::RequestSpan>>;

  OtlpExporter(std::string host, std::uint16_t port,
               std::shared_ptr<const net::TlsClientContext> tls, Metrics& metrics, const Log& log);
  void run();
  bool send(const Spans& batch);

  const std::string host_;
  const std::uint16_t port_;
  const std::shared_ptr<const net::TlsClientContext> tls_;  // null: cleartext
  const Log& log_;
  Counter& exported_;
  Counter& dropped_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  Spans waiting_;
  bool is_stopping_ = false;

  Thread thread_;
};

// The request body for these spans.
std::string draw_otlp(const std::vector<std::unique_ptr<gateway::RequestSpan>>& spans);

}  // namespace staithe::app
