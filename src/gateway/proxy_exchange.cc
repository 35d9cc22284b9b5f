#include "gateway/proxy_exchange.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "base/encoding.h"
#include "gateway/choose.h"
#include "gateway/model_list.h"

namespace staithe::gateway {
namespace {

// A request that is refused is still read to its end if that is no more than this, so that its
// connection can go on.
constexpr std::uint64_t dropped_bytes_max = 256 * 1024;

ApiError explain(PeekProblem problem, std::string_view content_type) {
  const bool is_form = is_multipart_form(content_type);
  switch (problem) {
    case PeekProblem::not_json:
      return errors::bad_request("the body is not valid JSON");
    case PeekProblem::not_an_object:
      return errors::bad_request("the body must be a JSON object");
    case PeekProblem::not_multipart:
      return errors::bad_request("the body is not valid multipart/form-data");
    case PeekProblem::missing:
      return errors::bad_request(
          is_form ? "the form needs a field `model`" : "the body needs a member `model`", "model");
    case PeekProblem::not_a_string:
      return errors::bad_request("`model` must be a string", "model");
    case PeekProblem::repeated:
      return errors::bad_request("`model` is given more than once", "model");
  }
  return errors::bad_request("the body cannot be read");
}

bool is_timeout(net::ClientFailure::Kind kind) {
  return kind == net::ClientFailure::Kind::first_byte_timeout ||
         kind == net::ClientFailure::Kind::idle_timeout;
}

}  // namespace

ProxyExchange::ProxyExchange(Gateway& gateway, const net::RequestHead& head,
                             net::Exchange& exchange)
    : gateway_(gateway),
      exchange_(exchange),
      table_(gateway.reader_.table()),
      counters_(&gateway.routes_.metrics().unknown()),
      started_(exchange.loop().now()),
      request_id_(given_request_id(head)),
      method_(head.method),
      has_body_(head.body.kind != net::BodyFraming::Kind::none) {
  if (request_id_.empty()) request_id_ = gateway.random_.uuid();
  if (head.body.kind == net::BodyFraming::Kind::length) body_length_ = head.body.length;
  is_continue_expected_ = has_body_ && head.headers.find("expect").has_value();
  start(head);
}

ProxyExchange::~ProxyExchange() = default;

void ProxyExchange::start(const net::RequestHead& head) {
  PrefixedTarget split;
  std::string_view rest = head.target;
  if (split_gateway_prefix(head.target, split)) {
    served_ = table_->find_by_id(split.gateway_id);
    rest = split.rest;
  } else if (const auto host = head.headers.find("host")) {
    served_ = table_->find_by_host(*host);
  }
  if (served_ == nullptr) return fail(errors::not_found("there is no such gateway"));
  counters_ = served_->undecided;
  if (is_health_check(head, rest)) return answer_json("{}");
  if (const auto refusal = admit(head, rest)) return fail(*refusal);

  RequestPlan plan = plan_request(*served_, head, rest);
  if (const auto* error = std::get_if<ApiError>(&plan)) return fail(*error);
  if (const auto* list = std::get_if<ListModels>(&plan)) {
    return answer_json(list->only == nullptr ? served_->model_list
                                             : draw_model_list(*served_, *list->only));
  }
  if (const auto* show = std::get_if<ShowModel>(&plan)) {
    return answer_json(draw_model(*served_, *show->model));
  }
  start_forward(head, std::get<Forward>(std::move(plan)));
}

// Who calls, and may they use this gateway.
std::optional<ApiError> ProxyExchange::admit(const net::RequestHead& head, std::string_view) {
  is_challenge_wanted_ = true;
  if (served_->auth == AuthKind::weights_and_biases) return errors::keys_not_verifiable();
  const auto authorization = head.headers.find("authorization");
  const auto principal = authorization
                             ? gateway_.tokens_.authenticate(*authorization, gateway_.clock_.now())
                             : std::nullopt;
  if (!principal) return errors::unauthorized();
  is_challenge_wanted_ = false;
  if (principal->organization != served_->organization) return errors::other_organization();
  return std::nullopt;
}

void ProxyExchange::start_forward(const net::RequestHead& head, Forward forward) {
  const auto authorization = head.headers.find("authorization");
  const std::string_view key = authorization ? bearer_token(*authorization) : std::string_view{};
  target_ = without_key(std::move(forward.target), key);
  model_ = forward.model;
  headers_ = headers_for_engine(
      head, {.key = key, .request_id = request_id_, .peer_address = exchange_.peer_address()});
  if (const auto type = head.headers.find("content-type")) content_type_ = *type;
  if (model_ == nullptr && !has_body_) return fail(explain(PeekProblem::missing, content_type_));
  const bool is_body_read = has_body_ && (model_ == nullptr || is_json(content_type_) ||
                                          is_multipart_form(content_type_));
  if (!is_body_read && has_body_) {
    phase_ = Phase::passing;
    is_body_lost_ = true;
    return send_upstream(head.body);
  }
  if (body_length_ > gateway_.options_.body_bytes_max) {
    return fail(errors::too_large(gateway_.options_.body_bytes_max));
  }
  if (body_length_ > 0) body_.reserve(body_length_ + JsonPeek::padding_bytes);
}

void ProxyExchange::on_body(std::string_view bytes) {
  if (is_body_lost_ && upstream_ != nullptr) {
    upstream_->send_body(bytes);
    if (upstream_->is_congested()) exchange_.pause_body();
    return;
  }
  if (phase_ != Phase::collecting) {
    // The rest of a refused request. One that goes on for long is cut off.
    if (phase_ == Phase::answering) {
      dropped_bytes_ += bytes.size();
      if (dropped_bytes_ > dropped_bytes_max) send_answer();
    }
    return;
  }
  if (body_.size() + bytes.size() > gateway_.options_.body_bytes_max) {
    return fail(errors::too_large(gateway_.options_.body_bytes_max));
  }
  body_ += bytes;
}

void ProxyExchange::on_request_end() {
  is_request_whole_ = true;
  switch (phase_) {
    case Phase::answering:
      return send_answer();
    case Phase::passing:
      phase_ = Phase::waiting;
      if (upstream_ != nullptr) upstream_->finish_body();
      return;
    case Phase::collecting:
      break;
    case Phase::waiting:
    case Phase::streaming:
      // The replica answered before it had the whole request.
      if (upstream_ != nullptr) upstream_->finish_body();
      return;
    case Phase::over:
      return;
  }
  if (has_body_) {
    const auto problem = model_ == nullptr ? find_model() : rewrite_model();
    if (problem) return fail(*problem);
  }
  phase_ = Phase::waiting;
  send_upstream(has_body_ ? net::BodyFraming{net::BodyFraming::Kind::length, body_.size()}
                          : net::BodyFraming{});
}

// The model is in the body.
std::optional<ApiError> ProxyExchange::find_model() {
  Peeked peeked = is_multipart_form(content_type_) ? find_model_in_multipart(body_, content_type_)
                                                   : gateway_.json_peek_.find_model(body_);
  if (const auto* problem = std::get_if<PeekProblem>(&peeked))
    return explain(*problem, content_type_);
  const std::string& name = std::get<ModelField>(peeked).name;
  model_ = served_->find_model(name);
  if (model_ == nullptr) return errors::model_not_found(name);
  return std::nullopt;
}

// The model came with a header or the path; engines check the one in the body, so it must be the
// same.
std::optional<ApiError> ProxyExchange::rewrite_model() {
  const bool is_form = is_multipart_form(content_type_);
  Peeked peeked = is_form ? find_model_in_multipart(body_, content_type_)
                          : gateway_.json_peek_.find_model(body_);
  if (const auto* problem = std::get_if<PeekProblem>(&peeked)) {
    // A body without a model, or of a kind that has none, is the engine's to judge.
    if (*problem == PeekProblem::repeated || *problem == PeekProblem::not_a_string) {
      return explain(*problem, content_type_);
    }
    return std::nullopt;
  }
  const ModelField& found = std::get<ModelField>(peeked);
  if (found.name == model_->name) return std::nullopt;
  if (is_form) {
    replace_multipart_model(body_, found, model_->name);
  } else {
    replace_json_model(body_, found, model_->name);
  }
  return std::nullopt;
}

// Chooses a deployment and a replica and sends what there is of the request.
void ProxyExchange::send_upstream(net::BodyFraming framing) {
  const Instant now = exchange_.loop().now();
  const ServedDeployment* deployment = choose_deployment(*model_, excluded_);
  const ServedReplica* replica =
      deployment == nullptr ? nullptr
                            : choose_replica(*deployment, now, gateway_.random_, excluded_);
  if (replica == nullptr) {
    return fail(was_retried_ ? errors::replica_broke() : errors::model_not_ready(model_->name));
  }
  metrics_ = deployment->metrics;
  counters_ = &metrics_->requests;
  in_flight_ = InFlight(replica->load, *metrics_->in_flight);

  net::ClientRequest request;
  request.method = method_;
  request.target = target_;
  headers_.append_to(request.headers);
  request.body = framing;
  upstream_ = gateway_.client_.start(replica->endpoint, request, gateway_.options_.upstream,
                                     upstream_handler_);
  if (phase_ == Phase::waiting) {
    if (has_body_) upstream_->send_body(body_);
    upstream_->finish_body();
  }
}

void ProxyExchange::take_answer_head(const net::ResponseHead& head) {
  phase_ = Phase::streaming;
  status_ = head.status;
  in_flight_.load()->trust();
  // Nothing can be sent again from here on: what was kept for that goes.
  body_ = {};
  headers_ = {};
  target_ = {};
  is_event_stream_ = is_event_stream(head);

  net::AnswerHead answer;
  answer.status = head.status;
  add_headers_for_client(head, is_event_stream_ ? AnswerKind::event_stream : AnswerKind::plain,
                         answer.headers);
  answer.headers.add("X-Request-Id", request_id_);
  if (gateway_.options_.is_deployment_shown) {
    answer.headers.add("x-inference-deployment", counters_->deployment_id());
  }
  if (head.body.kind == net::BodyFraming::Kind::none) answer.content_length = 0;
  // An event stream ends when it ends, whatever length an engine announced.
  if (head.body.kind == net::BodyFraming::Kind::length && !is_event_stream_) {
    answer.content_length = head.body.length;
  }
  exchange_.send_head(answer);
  served_ = nullptr;
  model_ = nullptr;
  table_ = nullptr;
}

void ProxyExchange::take_answer_body(std::string_view bytes) {
  if (!has_first_byte_) {
    has_first_byte_ = true;
    metrics_->first_byte->observe(
        std::chrono::duration<double>(exchange_.loop().now() - started_).count());
  }
  if (is_event_stream_) sse_tail_.feed(bytes);
  exchange_.send_body(bytes);
  // A client that stops reading stops the reading from the replica.
  if (exchange_.is_congested()) upstream_->pause();
}

void ProxyExchange::on_writable() {
  if (upstream_ != nullptr) upstream_->resume();
}

void ProxyExchange::take_upstream_room() {
  if (!is_request_whole_) exchange_.resume_body();
}

void ProxyExchange::take_answer_end() {
  upstream_.reset();
  end(status_);
  exchange_.finish();
}

void ProxyExchange::take_failure(const net::ClientFailure& failure) {
  metrics_->failures[static_cast<std::size_t>(failure.kind)]->add();
  upstream_.reset();
  if (phase_ == Phase::streaming) {
    gateway_.log_.warning("a replica broke off its answer",
                          {{"replica", in_flight_.load()->id()},
                           {"deployment", counters_->deployment_id()},
                           {"request", request_id_},
                           {"reason", "upstream_reset"},
                           {"detail", failure.message}});
    end(502);
    if (!is_event_stream_) return exchange_.abort();
    if (!sse_tail_.is_done()) {
      exchange_.send_body(sse_tail_.missing_end());
      exchange_.send_body("data: " + draw(errors::replica_broke()) + "\n\n");
    }
    return exchange_.finish();
  }
  if (try_elsewhere(failure)) return;
  gateway_.log_.warning("a replica did not answer", {{"replica", in_flight_.load()->id()},
                                                     {"deployment", counters_->deployment_id()},
                                                     {"request", request_id_},
                                                     {"detail", failure.message}});
  in_flight_.release();
  fail(is_timeout(failure.kind) ? errors::replica_too_slow() : errors::replica_broke());
}

// Only a request of which no byte arrived is sent again, once, and never one whose body was not
// kept.
bool ProxyExchange::try_elsewhere(const net::ClientFailure& failure) {
  if (failure.is_request_delivered || failure.is_answer_started) return false;
  using Kind = net::ClientFailure::Kind;
  const bool is_unreachable =
      failure.kind == Kind::connect_refused || failure.kind == Kind::connect_timeout;
  if (is_unreachable) {
    in_flight_.load()->avoid_until(exchange_.loop().now() + gateway_.options_.replica_avoided_for);
  }
  if (was_retried_ || is_body_lost_) return false;
  was_retried_ = true;
  // A pooled connection that had died says nothing against its replica.
  if (is_unreachable) {
    excluded_owner_ = in_flight_.shared_load();
    excluded_ = excluded_owner_.get();
  }
  metrics_->retries->add();
  in_flight_.release();
  send_upstream(has_body_ ? net::BodyFraming{net::BodyFraming::Kind::length, body_.size()}
                          : net::BodyFraming{});
  return true;
}

void ProxyExchange::answer_json(std::string text) {
  status_ = 200;
  body_ = std::move(text);
  phase_ = Phase::answering;
  if (is_request_whole_) send_answer();
}

void ProxyExchange::fail(const ApiError& error) {
  status_ = error.status;
  retry_after_s_ = error.retry_after_s;
  allow_ = error.allow;
  body_ = draw(error);
  phase_ = Phase::answering;
  // What is long, or waits to be asked for, is not read only to be dropped.
  if (is_request_whole_ || body_length_ > dropped_bytes_max || is_continue_expected_) send_answer();
}

void ProxyExchange::send_answer() {
  net::AnswerHead answer;
  answer.status = status_;
  answer.content_length = body_.size();
  answer.headers.add("Content-Type", "application/json");
  answer.headers.add("X-Request-Id", request_id_);
  const std::string retry_after = std::to_string(retry_after_s_);
  if (retry_after_s_ > 0) answer.headers.add("Retry-After", retry_after);
  if (status_ == 401 && is_challenge_wanted_) answer.headers.add("WWW-Authenticate", "Bearer");
  if (!allow_.empty()) answer.headers.add("Allow", allow_);
  exchange_.send_head(answer);
  exchange_.send_body(body_);
  end(status_);
  exchange_.finish();
}

void ProxyExchange::on_cancelled() {
  upstream_.reset();
  if (phase_ != Phase::over) counters_->count_client_gone();
  phase_ = Phase::over;
  in_flight_.release();
}

void ProxyExchange::end(std::uint16_t status) {
  phase_ = Phase::over;
  in_flight_.release();
  counters_->count(status);
  if (!gateway_.options_.is_access_logged) return;
  gateway_.log_.info("request", {{"request", request_id_},
                                 {"gateway", counters_->gateway_id()},
                                 {"deployment", counters_->deployment_id()},
                                 {"method", method_},
                                 {"status", status},
                                 {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(
                                            exchange_.loop().now() - started_)
                                            .count()}});
}

}  // namespace staithe::gateway
