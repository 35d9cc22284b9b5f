#include "app/otlp_exporter.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/api_client.h"
#include "net/blocking_client.h"

namespace staithe::app {
namespace {

using Json = nlohmann::json;

constexpr std::chrono::seconds interval{2};  // between two batches that are not full
constexpr std::chrono::seconds pause_max{30};
constexpr std::chrono::milliseconds send_timeout{5'000};
constexpr std::size_t answer_bytes_max = 64 * 1024;

// The numbers of the protocol's enums.
constexpr int span_kind_server = 2;
constexpr int status_code_error = 2;

// 64-bit numbers are strings in the JSON of protocol buffers.
std::string nanoseconds(Timestamp time) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

class Attributes {
 public:
  void add(std::string_view key, const std::string& text) {
    if (!text.empty()) list_.push_back({{"key", key}, {"value", {{"stringValue", text}}}});
  }
  void add(std::string_view key, std::uint64_t number) {
    list_.push_back({{"key", key}, {"value", {{"intValue", std::to_string(number)}}}});
  }
  Json take() { return std::move(list_); }

 private:
  Json list_ = Json::array();
};

std::string name_of(const gateway::RequestSpan& span) {
  if (span.operation.empty()) return span.method;
  return span.model.empty() ? span.operation : span.operation + " " + span.model;
}

Json draw(const gateway::RequestSpan& span) {
  Attributes attributes;
  attributes.add("gen_ai.operation.name", span.operation);
  attributes.add("gen_ai.provider.name", "staithe");
  attributes.add("gen_ai.request.model", span.model);
  if (span.tokens) {
    attributes.add("gen_ai.usage.input_tokens", span.tokens->input);
    attributes.add("gen_ai.usage.cache_read.input_tokens", span.tokens->cached);
    attributes.add("gen_ai.usage.output_tokens", span.tokens->output);
  }
  attributes.add("http.request.method", span.method);
  attributes.add("http.response.status_code", std::uint64_t{span.status});
  if (span.status >= 400) attributes.add("error.type", std::to_string(span.status));
  attributes.add("staithe.request.id", span.request_id);
  attributes.add("staithe.organization", span.organization);
  attributes.add("staithe.gateway.id", span.gateway_id);
  attributes.add("staithe.deployment.id", span.deployment_id);
  attributes.add("staithe.replica.id", span.replica_id);

  Json json = {{"traceId", span.context.trace_id},
               {"spanId", span.context.span_id},
               {"name", name_of(span)},
               {"kind", span_kind_server},
               {"startTimeUnixNano", nanoseconds(span.started_at)},
               {"endTimeUnixNano", nanoseconds(span.ended_at)},
               {"attributes", attributes.take()}};
  if (!span.parent_id.empty()) json["parentSpanId"] = span.parent_id;
  if (span.first_byte_at) {
    json["events"] = {{{"name", "first_byte"}, {"timeUnixNano", nanoseconds(*span.first_byte_at)}}};
  }
  // What a client did wrong is no error of a server's span.
  if (span.status >= 500) json["status"] = {{"code", status_code_error}};
  return json;
}

}  // namespace

std::string draw_otlp(const std::vector<std::unique_ptr<gateway::RequestSpan>>& spans) {
  Json list = Json::array();
  for (const auto& span : spans) list.push_back(draw(*span));
  Attributes resource;
  resource.add("service.name", "staithe");
  const Json scope_spans = {{{"scope", {{"name", "staithe.gateway"}}}, {"spans", std::move(list)}}};
  const Json body = {
      {"resourceSpans",
       {{{"resource", {{"attributes", resource.take()}}}, {"scopeSpans", scope_spans}}}}};
  // Some of it is what clients wrote: bytes that are not UTF-8 become U+FFFD.
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::unique_ptr<OtlpExporter>> OtlpExporter::open(const std::string& url, Metrics& metrics,
                                                         const Log& log) {
  TRY_ASSIGN(cli::Server server, cli::parse_server(url));
  std::shared_ptr<const net::TlsClientContext> tls;
  if (server.is_secure) {
    TRY_ASSIGN(tls, net::TlsClientContext::load(""));
  }
  std::unique_ptr<OtlpExporter> exporter(
      new OtlpExporter(std::move(server.host), server.port, std::move(tls), metrics, log));
  return exporter;
}

OtlpExporter::OtlpExporter(std::string host, std::uint16_t port,
                           std::shared_ptr<const net::TlsClientContext> tls, Metrics& metrics,
                           const Log& log)
    : host_(std::move(host)),
      port_(port),
      tls_(std::move(tls)),
      log_(log),
      exported_(metrics.counter("staithe_spans_exported_total", "Spans that a collector took.")),
      dropped_(metrics.counter("staithe_spans_dropped_total",
                               "Spans that no collector took and there was no room to keep.")),
      thread_("otlp", [this] { run(); }) {}

OtlpExporter::~OtlpExporter() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

void OtlpExporter::add(std::unique_ptr<gateway::RequestSpan> span) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= waiting_max) return dropped_.add();
  waiting_.push_back(std::move(span));
  if (waiting_.size() == batch_max) wake_.notify_one();
}

void OtlpExporter::run() {
  std::chrono::seconds pause = interval;
  Spans batch;
  std::unique_lock lock(mutex_);
  while (true) {
    const bool has_failed = pause > interval;
    wake_.wait_for(lock, pause, [this, has_failed] {
      return is_stopping_ || (!has_failed && waiting_.size() >= batch_max);
    });
    const bool is_last = is_stopping_;
    while (!waiting_.empty() || !batch.empty()) {
      const auto room = static_cast<std::ptrdiff_t>(
          std::min(batch_max - std::min(batch_max, batch.size()), waiting_.size()));
      std::move(waiting_.begin(), waiting_.begin() + room, std::back_inserter(batch));
      waiting_.erase(waiting_.begin(), waiting_.begin() + room);
      lock.unlock();
      const bool is_settled = send(batch);
      lock.lock();
      if (!is_settled) break;
      batch.clear();
      pause = interval;
    }
    if (is_last) {
      dropped_.add(batch.size() + waiting_.size());
      return;
    }
    if (!batch.empty()) pause = std::min(pause * 2, pause_max);
  }
}

// False if these spans are to be sent again.
bool OtlpExporter::send(const Spans& batch) {
  net::BlockingRequest request;
  request.host = host_;
  request.port = port_;
  request.tls = tls_;
  request.method = "POST";
  request.target = "/v1/traces";
  request.headers = {{"Content-Type", "application/json"}};
  request.body = draw_otlp(batch);
  request.timeout = send_timeout;
  request.answer_bytes_max = answer_bytes_max;
  const auto answer = net::send_blocking(request);
  if (!answer) {
    log_.warning("the trace collector cannot be reached; spans are kept and sent again",
                 {{"error", answer.error().message}});
    return false;
  }
  if (answer->status == 200) {
    exported_.add(batch.size());
    return true;
  }
  // Only these are to be tried again; what else is refused would be refused again.
  const bool is_passing = answer->status == 429 || answer->status == 502 || answer->status == 503 ||
                          answer->status == 504;
  log_.warning("the trace collector refused spans", {{"status", answer->status}});
  if (!is_passing) dropped_.add(batch.size());
  return !is_passing;
}

}  // namespace staithe::app
