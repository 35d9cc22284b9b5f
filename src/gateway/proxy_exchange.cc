#include "gateway/proxy_exchange.h"

#include <string>
#include <utility>

namespace staithe::gateway {
namespace {

// What logs and traces call the end of a request whose client left.
constexpr std::uint16_t status_client_gone = 499;

}  // namespace

ProxyExchange::ProxyExchange(Gateway& gateway, const net::RequestHead& head,
                             net::Exchange& exchange)
    : gateway_(gateway),
      exchange_(exchange),
      request_(std::make_unique<Request>()),
      counters_(&gateway.routes_.metrics().unknown()),
      started_(exchange.loop().now()),
      request_id_(given_request_id(head)) {
  if (request_id_.empty()) request_id_ = gateway.random_.uuid();
  span_ = begin_span(gateway.options_.trace, head.headers.find("traceparent").value_or(""),
                     gateway.random_, gateway.clock_.now());
  if (span_ != nullptr) span_->method = head.method;
  const std::string_view origin = gateway.options_.cors.allowed_origin(head);
  if (!origin.empty()) origin_ = std::make_unique<const std::string>(origin);
  request_->table = gateway.reader_.table();
  request_->method = head.method;
  request_->framing = head.body;
  enter(Phase::receiving);
  if (const auto limit = gateway.options_.time_limit; limit.count() > 0) {
    time_limit_ = std::make_unique<net::Deadline>(exchange.loop(), [this] { run_out_of_time(); });
    time_limit_->set(started_ + limit);
  }
  start(head);
}

ProxyExchange::~ProxyExchange() {
  enter(Phase::over);
}

void ProxyExchange::enter(Phase phase) {
  if (phase == phase_) return;
  gateway_.phases_.move(phase_, phase);
  phase_ = phase;
}

void ProxyExchange::answer(std::string_view json) {
  net::AnswerHead head{.status = 200};
  send_json(head, json);
}

// A browser asks without its user's key.
void ProxyExchange::answer_preflight(const net::RequestHead& head) {
  net::AnswerHead answer{.status = 204, .has_body = false};
  answer.headers.add("X-Request-Id", request_id_);
  if (origin_ != nullptr) add_preflight_headers(head, answer.headers);
  add_cors(answer.headers);
  exchange_.send_head(answer);
  end(answer.status);
  exchange_.finish();
}

void ProxyExchange::add_cors(net::HeaderList& headers) const {
  if (!gateway_.options_.cors.is_on()) return;
  add_cors_headers(origin_ == nullptr ? std::string_view{} : *origin_, headers);
}

void ProxyExchange::refuse(const ApiError& error) {
  net::AnswerHead head{.status = error.status};
  const std::string retry_after = std::to_string(error.retry_after_s);
  if (error.retry_after_s > 0) head.headers.add("Retry-After", retry_after);
  if (error.status == 401) head.headers.add("WWW-Authenticate", "Bearer");
  if (!error.allow.empty()) head.headers.add("Allow", error.allow);
  send_json(head, draw(error));
}

void ProxyExchange::send_json(net::AnswerHead& head, std::string_view json) {
  head.content_length = json.size();
  head.headers.add("Content-Type", "application/json");
  head.headers.add("X-Request-Id", request_id_);
  add_cors(head.headers);
  exchange_.send_head(head);
  exchange_.send_body(json);
  end(head.status);
  exchange_.finish();
}

void ProxyExchange::on_cancelled() {
  key_wait_ = {};
  self_.reset();
  stop_clocks();
  wait_.reset();
  upstream_.reset();
  in_flight_.release();
  demand_.release();
  if (phase_ != Phase::over) {
    counters_->count_client_gone();
    record(status_client_gone, UsageWatch::End::aborted);
  }
  enter(Phase::over);
}

void ProxyExchange::stop_clocks() {
  if (time_limit_ != nullptr) time_limit_->clear();
  if (keepalive_ != nullptr) keepalive_->clear();
}

void ProxyExchange::end(std::uint16_t status) {
  enter(Phase::over);
  stop_clocks();
  wait_.reset();
  in_flight_.release();
  demand_.release();
  counters_->count(status);
  record(status, status < 400 ? UsageWatch::End::complete : UsageWatch::End::failed);
}

}  // namespace staithe::gateway
