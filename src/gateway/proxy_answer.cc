#include "gateway/proxy_exchange.h"

#include <charconv>
#include <chrono>
#include <string>

// The answer on its way back, and what becomes of it when it breaks.

namespace staithe::gateway {
namespace {

// Of an error in words; a page for people may be longer.
constexpr std::size_t error_text_bytes_max = 4096;

ApiError explain(net::ClientFailure::Kind kind) {
  using Kind = net::ClientFailure::Kind;
  const bool is_timeout = kind == Kind::connect_timeout || kind == Kind::first_byte_timeout ||
                          kind == Kind::idle_timeout;
  return is_timeout ? errors::replica_too_slow() : errors::replica_broke();
}

// The length of an answer's body as it is told to the client; none for a body that ends when it
// ends.
std::optional<std::uint64_t> announced_length(const net::ResponseHead& head) {
  switch (head.body.kind) {
    case net::BodyFraming::Kind::length:
      // What an engine announces for a stream of events is not to be trusted.
      return is_event_stream(head) ? std::nullopt : std::optional(head.body.length);
    case net::BodyFraming::Kind::none: {
      // An answer to HEAD tells the length of what GET would bring.
      const std::string_view text = head.headers.find("content-length").value_or("0");
      std::uint64_t length = 0;
      std::from_chars(text.data(), text.data() + text.size(), length);
      return length;
    }
    case net::BodyFraming::Kind::chunked:
    case net::BodyFraming::Kind::until_close:
      break;
  }
  return std::nullopt;
}

}  // namespace

void ProxyExchange::take_answer_head(const net::ResponseHead& head) {
  enter(Phase::streaming);
  status_ = head.status;
  in_flight_.load()->trust();
  // An encoded stream is bytes to us: an event of ours would not fit in.
  is_event_stream_ = is_event_stream(head) && !head.headers.find("content-encoding");
  if (usage_ != nullptr) usage_->take_answer(head);
  if (is_replica_fault(status_)) count_replica_failure();
  if (is_event_stream_) begin_events();

  if (is_error_text(head)) error_text_ = std::make_unique<std::string>();

  const AnswerKind kind = is_event_stream(head)    ? AnswerKind::event_stream
                          : error_text_ != nullptr ? AnswerKind::error_text
                                                   : AnswerKind::plain;
  net::AnswerHead answer{.status = head.status};
  if (kind != AnswerKind::error_text) answer.content_length = announced_length(head);
  const auto cors = gateway_.options_.cors.is_on() ? EngineCors::is_removed : EngineCors::passes;
  add_headers_for_client(head, kind, cors, answer.headers);
  add_cors(answer.headers);
  answer.headers.add("X-Request-Id", request_id_);
  if (gateway_.options_.is_deployment_shown) {
    answer.headers.add("x-inference-deployment", counters_->deployment_id());
  }
  if (!request_->routing.empty()) answer.headers.add(routing_header, request_->routing);
  exchange_.send_head(answer);

  // Nothing is sent again from here on. A replica that answers before it has read everything still
  // gets the rest.
  const bool is_given = is_passing_ || request_->body_given_bytes >= request_->body.size();
  if (is_given) request_.reset();
}

void ProxyExchange::begin_events() {
  if (is_responses_api(request_->target)) responses_ = std::make_unique<ResponsesWatch>();
  const auto interval = gateway_.options_.sse_keepalive_interval;
  if (interval.count() == 0) return;
  keepalive_ = std::make_unique<net::Deadline>(exchange_.loop(), [this] { send_keepalive(); });
  keepalive_->set(exchange_.loop().now() + interval);
}

// A comment, which clients ignore; never within an event, where it would become part of that.
void ProxyExchange::send_keepalive() {
  if (sse_tail_.missing_end().empty() && !exchange_.is_congested()) {
    exchange_.send_body(": keep-alive\n\n");
  }
  keepalive_->set(exchange_.loop().now() + gateway_.options_.sse_keepalive_interval);
}

void ProxyExchange::take_answer_body(std::string_view bytes) {
  if (!has_first_byte_) {
    has_first_byte_ = true;
    first_byte_at_ = exchange_.loop().now();
    if (is_event_stream_) in_flight_.answer_begun(exchange_.loop().now());
    metrics_->first_byte->observe(
        std::chrono::duration<double>(exchange_.loop().now() - started_).count());
    if (span_ != nullptr) span_->first_byte_at = gateway_.clock_.now();
  }
  if (error_text_ != nullptr) {
    error_text_->append(bytes.substr(0, error_text_bytes_max - error_text_->size()));
    return;
  }
  pass_answer_body(usage_ == nullptr ? bytes : usage_->take_answer_body(bytes));
  // A client that stops reading stops the reading from the replica.
  if (exchange_.is_congested()) upstream_->pause();
}

void ProxyExchange::pass_answer_body(std::string_view bytes) {
  if (bytes.empty()) return;
  if (is_event_stream_) sse_tail_.feed(bytes);
  if (responses_ != nullptr) responses_->feed(bytes);
  exchange_.send_body(bytes);
  if (keepalive_ != nullptr) {
    keepalive_->set(exchange_.loop().now() + gateway_.options_.sse_keepalive_interval);
  }
}

void ProxyExchange::on_writable() {
  if (upstream_ != nullptr) upstream_->resume();
}

void ProxyExchange::take_answer_end() {
  upstream_.reset();
  if (usage_ != nullptr) pass_answer_body(usage_->finish_answer());
  if (error_text_ != nullptr) exchange_.send_body(draw(errors::in_words(status_, *error_text_)));
  if (status_ < 500) in_flight_.load()->note_success();
  end(status_);
  exchange_.finish();
}

void ProxyExchange::take_failure(const net::ClientFailure& failure) {
  metrics_->failures[static_cast<std::size_t>(failure.kind)]->add();
  gateway_.log_.warning("upstream_failure", {{"kind", failure_name(failure.kind)},
                                             {"detail", failure.message},
                                             {"request", request_id_},
                                             {"gateway", counters_->gateway_id()},
                                             {"deployment", counters_->deployment_id()},
                                             {"replica", in_flight_.load()->id()}});
  upstream_.reset();
  if (phase_ == Phase::streaming) {
    if (!is_answer_said()) count_replica_failure();
    return break_stream(explain(failure.kind));
  }
  // A pooled connection that had died says nothing against its replica.
  const bool was_closed_before =
      failure.kind == net::ClientFailure::Kind::reset && !failure.is_request_delivered;
  if (!was_closed_before) count_replica_failure();
  if (!try_elsewhere(failure)) refuse(explain(failure.kind));
}

// Whether the replica had said all, and left without a goodbye.
bool ProxyExchange::is_answer_said() const {
  if (!is_event_stream_) return false;
  if (responses_ == nullptr) return sse_tail_.is_done();
  return responses_->is_done() && sse_tail_.missing_end().empty();
}

// The answer cannot be completed. A client that reads events is told so by one, in the terms of the
// API it called; of any other body it learns by an end that it can tell from a proper one.
void ProxyExchange::break_stream(const ApiError& error) {
  if (is_answer_said()) {
    end(status_);
    return exchange_.finish();
  }
  end(error.status);
  if (!is_event_stream_) return exchange_.abort();
  exchange_.send_body(sse_tail_.missing_end());
  exchange_.send_body(responses_ == nullptr ? "data: " + draw(error) + "\n\n"
                                            : responses_->draw_failure(error.message, request_id_));
  exchange_.finish();
}

void ProxyExchange::run_out_of_time() {
  if (phase_ == Phase::over) return;
  if (metrics_ != nullptr) metrics_->time_limit->add();
  upstream_.reset();
  const ApiError error = errors::request_took_too_long();
  if (phase_ == Phase::streaming) return break_stream(error);
  refuse(error);
}

// The replica broke, or said itself that it cannot serve.
void ProxyExchange::count_replica_failure() {
  const ServedDeployment* const deployment = gateway_.reader_.table()->find_deployment(
      counters_->gateway_id(), counters_->deployment_id());
  if (deployment == nullptr) return;
  net::EventLoop& loop = exchange_.loop();
  ReplicaLoad& load = *in_flight_.load();
  const auto time = count_failure(*deployment, load, gateway_.options_.outliers, loop.now());
  if (!time) return;
  metrics_->ejections->add();
  metrics_->ejected->add(1);
  gateway_.log_.warning(
      "replica_ejected",
      {{"deployment", counters_->deployment_id()},
       {"replica", load.id()},
       {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(*time).count()}});
  loop.run_after(*time, [gauge = metrics_->ejected, queue = deployment->queue] {
    gauge->add(-1);
    queue->call_next();
  });
}

}  // namespace staithe::gateway
